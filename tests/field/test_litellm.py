"""Models of other providers, through LiteLLM: by the name of a setting, and as a model of the agent's own."""

import importlib
from contextlib import AsyncExitStack
from typing import Any

import pytest
from agents import Agent, Model

from backchannel.testing import Call, Say
from backchannel.testing.endpoints import ODDITIES, StrictEndpoint, violations
from field.odd_models import error, say, tasks, texts
from field.test_model_oddities import Chosen, lookup
from oddity_failures import expected_failure, problems_of

pytestmark = [pytest.mark.row("A5b"), pytest.mark.usefixtures("quick_retries")]

OTHERWISE: dict[str, tuple[str, bool] | None] = {
    # LiteLLM leaves out what it does not know, and the model has said nothing.
    "content_list": ("answer_empty", True),
    "refusal": ("answer_empty", True),
    "html": ("answer_empty", True),
    "plain_json": ("answer_empty", True),
    "empty": ("answer_empty", True),
    "error_with_200": ("answer_empty", True),
    "reason_unknown": None,
    # It has errors of its own for these.
    "http_408_azure": ("model_timeout", True),
    "http_504_html": ("model_timeout", True),
    "burst_then_drop": ("model_unavailable", True),
    "burst_then_end": ("model_unavailable", True),
    "reason_error": ("model_unavailable", True),
    "error_event": ("model_unavailable", True),
    "no_reason": ("model_unavailable", True),
}
"""Oddities that end otherwise than without LiteLLM."""


def own_model(url: str, monkeypatch: pytest.MonkeyPatch) -> Model:
    """A model of the application's own."""
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    # Imported by this test alone: it takes seconds.
    module = importlib.import_module("agents.extensions.models.litellm_model")
    return module.LitellmModel("openai/m", base_url=url, api_key="any")


async def test_the_name_of_a_setting_is_enough(
    serve: Any, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """openai/chatkit-python#89, openai/openai-agents-python#1098: tools, two turns, usage, and a quiet log."""
    endpoint = StrictEndpoint("strictest")
    monkeypatch.setenv("OPENAI_API_BASE", await stack.enter_async_context(endpoint.running()))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-litellm")
    served = await serve(
        Agent[Any](name="A", tools=[lookup]), model="litellm/openai/gpt-of-tomorrow", titles="rule"
    )
    endpoint.add([Say("Let me see."), Call("lookup", {"q": "x"})], Say(["It is ", "found."]), Say("Bye."))
    thread_id, events = await served.create()
    assert error(events) is None
    assert texts(await served.items(thread_id))[1:] == ["Let me see.", "It is found."]
    assert [state for _, state, _ in tasks(await served.items(thread_id))] == ["complete"]
    await say(served, thread_id, "thanks")
    assert texts(await served.items(thread_id))[-1] == "Bye."
    assert endpoint.refused == []
    assert {request.body["model"] for request in endpoint.requests} == {"gpt-of-tomorrow"}
    assert "Provider List" not in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
async def test_no_oddity_harms_its_thread(serve: Any, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch):
    endpoint = Chosen()
    endpoint.go.set()
    url = await stack.enter_async_context(endpoint.running())
    model = own_model(url, monkeypatch)
    served = await serve(Agent[Any](name="A", tools=[lookup], model=model), titles="rule")
    problems: dict[str, list[str]] = {}

    async def converse(name: str) -> None:
        thread_id, events = await served.create(name)
        later = await say(served, thread_id, "and now?")
        failure = OTHERWISE[name] if name in OTHERWISE else expected_failure(name)
        found = problems_of(events, await served.items(thread_id), failure)
        found += [f"then: {each}" for each in problems_of(later, [], None)]
        found += [f"then: {each.rule}" for each in violations("strictest", endpoint.last_of(name).body)]
        if found:
            problems[name] = found

    # All of them take 20 s: LiteLLM's own work. What it changes is always among them.
    of_chat = [name for name in ODDITIES if "chat" in ODDITIES[name].apis]
    for name in [*OTHERWISE, *of_chat[::10]]:
        await converse(name)
    assert problems == {}
