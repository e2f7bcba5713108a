"""Usage as endpoints report it, or do not, against budgets: cases from public reports."""

import json
from contextlib import AsyncExitStack
from typing import Any

import pytest
from agents import Agent

from backchannel.testing.endpoints import Reply, StrictEndpoint
from backchannel.testing.endpoints.wire import DONE
from field.odd_models import CHAT, chat, served_on

pytestmark = [pytest.mark.row("F5"), pytest.mark.usefixtures("quick_retries")]

SENT = 10
"""The estimate of the input `hello`."""
REPORTED = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


def with_usage(usage: Any) -> Reply:
    """An answer of two tokens, by the estimate, whose last chunk has this usage."""
    return chat(CHAT.text("Sunshine"), CHAT.finish(), CHAT.raw(choices=[], usage=usage))


async def used(served: Any) -> tuple[int, int, Any]:
    """What is used and reserved of the first budget, and the usage of the models."""
    seen = (await served.person.http.get("/api/chatkit/usage")).json()
    budget = seen["budgets"][0]
    return budget["used"], budget["reserved"], seen["period"]["models"]


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (REPORTED, 10),
        # SEMOSS/Monolith#219, genkit-ai/genkit PR#6229: none.
        (None, SENT + 2),
        ({}, SENT + 2),
        # Numbers that no call can have: less than nothing, texts, more than any model has room for.
        ({"prompt_tokens": -500_000, "completion_tokens": -1, "total_tokens": -500_001}, SENT + 2),
        ({"prompt_tokens": "7", "completion_tokens": "3", "total_tokens": "10"}, 10),
        ({"prompt_tokens": None, "completion_tokens": 3, "total_tokens": None}, SENT + 3),
        ({"prompt_tokens": 10**15, "completion_tokens": 3, "total_tokens": 10**15}, SENT + 3),
        ([1, 2], SENT + 2),
        # Portkey-AI/gateway#1210, SamSaffron/term-llm PR#424: cached tokens are among the prompt's, and not beside them.
        ({**REPORTED, "prompt_tokens_details": {"cached_tokens": 5}}, 10),
    ],
)
async def test_any_report_of_usage_is_booked_safely(
    serve: Any, stack: AsyncExitStack, usage: Any, expected: int
) -> None:
    endpoint = StrictEndpoint("openai-chat", with_usage(usage))
    served = await served_on(serve, stack, endpoint, Agent(name="A"), token_budget="10000/day")
    await served.create()
    amount, reserved, [model] = await used(served)
    assert (amount, reserved) == (expected, 0)
    assert model["input_tokens"] + model["output_tokens"] == expected


async def test_usage_in_every_chunk_is_counted_once(serve: Any, stack: AsyncExitStack) -> None:
    """envoyproxy/ai-gateway PR#2239, maximhq/bifrost PR#1872: running totals that were added up."""
    chunks = [
        CHAT.raw(choices=[], usage={"prompt_tokens": 7, "completion_tokens": each, "total_tokens": 7 + each})
        for each in (1, 2, 3)
    ]
    endpoint = StrictEndpoint("openai-chat", chat(CHAT.text("Sunshine"), *chunks, CHAT.finish(), chunks[-1]))
    served = await served_on(serve, stack, endpoint, Agent(name="A"), token_budget="10000/day")
    await served.create()
    assert (await used(served))[:2] == (10, 0)


async def test_a_stream_that_breaks_off_is_charged_what_came(serve: Any, stack: AsyncExitStack) -> None:
    """BerriAI/litellm PR#35752, Menci/Floway PR#66: nothing was booked for a stream that died after its first chunks."""
    endpoint = StrictEndpoint("openai-chat", Reply([CHAT.text("half of it")]))
    served = await served_on(serve, stack, endpoint, Agent(name="A"), token_budget="10000/day")
    await served.create()
    assert (await used(served))[:2] == (SENT + 3, 0)


async def test_a_cached_input_costs_its_own_price_and_another_model_the_dearest(
    serve: Any, stack: AsyncExitStack
) -> None:
    """SEMOSS/Semoss#1654: cached tokens were not registered. BerriAI/litellm#25874: a model of one's own was free."""
    cached = {
        "prompt_tokens": 1000,
        "completion_tokens": 100,
        "prompt_tokens_details": {"cached_tokens": 800},
    }
    endpoint = StrictEndpoint("openai-chat", with_usage(cached), with_usage(cached))
    prices = json.dumps(
        {"m": {"input": 1, "cached_input": 0.1, "output": 10}, "cheap": {"input": 0, "output": 0}}
    )
    served = await served_on(
        serve, stack, endpoint, Agent(name="A"), money_budget="5.00/day", model_prices=prices
    )
    await served.create()
    amount, reserved, [model] = await used(served)
    assert (amount, reserved, model["cost"]) == ("0.00128", "0.00", "0.00128")
    assert model["cached_tokens"] == 800


async def test_a_budget_that_is_not_set_blocks_nothing(serve: Any, stack: AsyncExitStack) -> None:
    """BerriAI/litellm#20615: requests were refused although no budget was set."""
    endpoint = StrictEndpoint("openai-chat", *[with_usage(REPORTED)] * 2)
    served = await served_on(
        serve, stack, endpoint, Agent(name="A"), model_prices='{"*": {"input": 1e5, "output": 1e5}}'
    )
    for _ in range(2):
        _, events = await served.create()
        assert not any(event["type"] == "error" for event in events)
    seen = (await served.person.http.get("/api/chatkit/usage?window=month")).json()
    assert (seen["budgets"], seen["period"]["models"][0]["requests"]) == ([], 2)


async def test_a_call_that_the_endpoint_refuses_gives_everything_back(
    serve: Any, stack: AsyncExitStack
) -> None:
    """BerriAI/litellm PR#30522, mozilla-ai/otari PR#129: reservations of failed calls locked people out."""
    overloaded = b'data: {"error": {"message": "Overloaded", "type": "overloaded_error"}}\n\n'
    endpoint = StrictEndpoint("openai-chat", Reply([overloaded, DONE]), with_usage(REPORTED))
    served = await served_on(serve, stack, endpoint, Agent(name="A"), token_budget="10000/day")
    _, events = await served.create()
    assert not any(event["type"] == "error" for event in events)
    amount, reserved, [model] = await used(served)
    # The stream of the first try had begun, and the second try cost what was reported.
    assert (amount, reserved, model["requests"]) == (SENT + 10, 0, 2)
