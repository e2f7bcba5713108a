"""Budgets over HTTP: exact with many answers at once, cut off in mid-stream, never lost, and seen by REST (F5)."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import pytest
from agents import Agent, ModelSettings, Runner, function_tool
from chatkit.types import ProgressUpdateEvent, SyncCustomActionResponse, ThreadStreamEvent
from openai import APIStatusError
from sqlalchemy import text

from backchannel.application import Application
from backchannel.client import ServerError
from backchannel.context import Identity
from backchannel.errors import ConfigurationError
from backchannel.hooks import Hooks, RunEnded
from backchannel.model_calls import normalized_model
from backchannel.stores.sql.personal import PersonalData, owned_tables
from backchannel.testing import Call, ChatKitClient, Fail, Say, ScriptedModel
from field.test_actions import show
from programs import PATH, message
from wire.conftest import Served

pytestmark = pytest.mark.row("F5")

PATIENCE_SECONDS = 60
COST = 15
"""What one call of a scripted model uses."""
SENT = 10
"""The estimate of its input, the message `hello`."""
PRICES = json.dumps({"*": {"input": 1, "output": 10}})
CALL_COST = "0.00006"


def agent(model: ScriptedModel, **options: Any) -> Agent[Any]:
    settings = ModelSettings(max_tokens=options.pop("max_tokens", 5))
    return Agent(name="A", model=model, model_settings=settings, **options)


async def usage_of(served: Served) -> dict[str, Any]:
    response = await served.person.http.get("/api/chatkit/usage")
    assert response.status_code == 200, response.text
    return response.json()


async def ledger(served: Served) -> tuple[int, int, int, int]:
    """What is used and reserved of all accounts of tokens, how many reservations there are, and what calls used."""
    sums = (
        "SELECT coalesce(sum(used), 0), coalesce(sum(reserved), 0) FROM budget_accounts WHERE unit = 'tokens'"
    )
    calls = "SELECT coalesce(sum(input_tokens + output_tokens), 0) FROM `usage`"
    if served.backchannel.database.url.get_backend_name() == "postgresql":
        calls = calls.replace("`", "")
    async with served.backchannel.database.read() as connection:
        used, reserved = (await connection.execute(text(sums))).one()
        open_ = (await connection.execute(text("SELECT count(*) FROM budget_reservations"))).scalar_one()
        spent = (await connection.execute(text(calls))).scalar_one()
    return int(used), int(reserved), int(open_), int(spent)


def reason(events: list[dict[str, Any]]) -> str | None:
    return next((event["reason"] for event in events if event["type"] == "error"), None)


async def test_a_hundred_at_once_never_use_more_than_there_is(serve, database_url):
    """BerriAI/litellm#34732, #40095: requests at the same time all pass the check before one of them is counted."""
    model = ScriptedModel(*[Say(["one ", "two"])] * 100)
    served = await serve(agent(model), database_url=database_url, token_budget=f"{37 * COST}/day")
    # A slow machine may need a while for a hundred answers.
    person = await served.stack.enter_async_context(ChatKitClient(served.url, timeout=PATIENCE_SECONDS))
    await person.http.post("/api/chatkit/visitor", json={})

    async def ask() -> str:
        while True:
            try:
                return reason(await (await person.say("hello")).events()) or "answered"
            except ServerError as error:
                # All connections to the database are in use: 503, for the client to repeat.
                if error.code != "unavailable":
                    return error.code

    outcomes = await asyncio.gather(*(ask() for _ in range(100)))
    assert sorted(set(outcomes)) == ["answered", "budget_exceeded"]
    assert outcomes.count("answered") == len(model.calls) == 37
    assert await ledger(served) == (37 * COST, 0, 0, 37 * COST)


async def test_a_budget_that_is_used_up_is_429_until_it_begins_anew(serve):
    served = await serve(agent(ScriptedModel(Say("x"))), token_budget=f"{COST}/day,1000/month")
    thread_id, events = await served.create()
    assert reason(events) is None
    with pytest.raises(ServerError):
        await served.person.say("and now?", thread_id)
    response = await served.person.http.post(PATH, json=message("and now?"))
    body = response.json()
    assert (response.status_code, body["code"]) == (429, "budget_exceeded")
    assert 0 < int(response.headers["Retry-After"]) <= 86_400
    assert body["message"].startswith("Your budget of 15 tokens a day is used up. It is available again on ")
    assert body["details"]["window"] == "day"
    seen = await usage_of(served)
    day, month = seen["budgets"]
    assert (day["used"], day["remaining"], day["percent"], day["exhausted"]) == (COST, 0, 100, True)
    assert (month["window"], month["used"], month["exhausted"]) == ("month", COST, False)
    assert day["resets_at"] == body["details"]["resets_at"]
    assert len(await served.items(thread_id)) == 2


async def test_an_answer_is_cut_off_where_nothing_is_left_and_what_was_shown_is_kept(serve):
    words = [f"{number:03} " for number in range(200)]
    served = await serve(
        agent(ScriptedModel(Say(words)), max_tokens=None), token_budget="60/hour", budget_output_tokens=16
    )
    thread_id, events = await served.create()
    [error] = [event for event in events if event["type"] == "error"]
    assert (error["reason"], error["allow_retry"]) == ("budget_exceeded", False)
    assert "60 tokens an hour is used up. It is available again on" in error["message"]
    kept = (await served.items(thread_id))[-1]["content"][0]["text"]
    assert "".join(words).startswith(kept)
    assert len(kept.split()) == 60 - SENT
    used, reserved, _, spent = await ledger(served)
    assert (used, reserved, spent) == (60, 0, 60)


async def test_money_is_limited_like_tokens(serve):
    served = await serve(
        agent(ScriptedModel(Say("x"), Say("y"))),
        money_budget=f"{CALL_COST}/day",
        model_prices=PRICES,
        currency="EUR",
    )
    await served.create()
    seen = await usage_of(served)
    [budget] = seen["budgets"]
    assert (budget["unit"], budget["used"], budget["limit"], seen["currency"]) == (
        "money",
        CALL_COST,
        CALL_COST,
        "EUR",
    )
    assert [each["cost"] for each in seen["period"]["models"]] == [CALL_COST]
    with pytest.raises(ServerError) as refused:
        await served.person.say("more")
    assert "0.00006 EUR a day is used up" in str(refused.value)


async def test_a_stopped_answer_is_charged_what_came(serve, eventually):
    """BerriAI/litellm PR#30522: a reservation that a cancelled stream never gave back. openai/openai-openapi#539: no
    usage is reported for it."""
    model = ScriptedModel(Say([*["word " * 8] * 4, "never"], until=asyncio.Event()))
    served = await serve(agent(model, max_tokens=500), token_budget="1000/day")
    stream = await served.person.say("hello")
    async with asyncio.timeout(10):
        async for event in stream:
            if event.get("update", {}).get("type", "").endswith("text_delta") and model.deltas_sent == 4:
                break
    during = await ledger(served)
    assert during[:3] == (0, SENT + 500, 1)
    await served.person.stop(stream.run_id)
    async with asyncio.timeout(10):
        while (await ledger(served))[2]:  # noqa: ASYNC110 - in the database
            await asyncio.sleep(0.01)
    used, reserved, open_, spent = await ledger(served)
    assert (used, reserved, open_, spent) == (SENT + 40, 0, 0, SENT + 40)
    run = (await served.person.http.get(f"/api/chatkit/runs/{stream.run_id}")).json()
    assert (run["status"], run["usage"]) == (
        "cancelled",
        {"requests": 1, "input_tokens": SENT, "output_tokens": 40},
    )


async def test_each_try_costs_unless_the_endpoint_refused_it(serve, monkeypatch):
    """mozilla-ai/otari#128: what was reserved for a call that failed before its first chunk was never given back."""
    monkeypatch.setattr(normalized_model, "RETRY_DELAYS", (0.01,))
    request = httpx2.Request("POST", "http://model")
    refused = APIStatusError("500", response=httpx2.Response(500, request=request), body=None)
    broken = ConnectionResetError("reset")
    model = ScriptedModel(Fail(refused), Say(["half ", "never"], error=broken), Say("whole"))
    served = await serve(agent(model), token_budget="1000/day")
    for expected in (0, SENT + 2, SENT + 2 + COST):
        await served.create()
        assert (await ledger(served))[:3] == (expected, 0, 0)


async def test_titles_inner_agents_and_agents_of_tools_are_charged(serve):
    """steipete/VibeMeter#53, vsiegel/thoughttree#12: sub-agents and titles were not counted."""
    title, inner, judge = (
        ScriptedModel(Say("A title")),
        ScriptedModel(Say("inner")),
        ScriptedModel(Say("fine")),
    )

    @function_tool
    async def check() -> str:
        """Ask another agent."""
        return str((await Runner.run(Agent(name="Judge", model=models["judge"]), "well?")).final_output)

    outer = ScriptedModel(Call("helper", {"input": "help"}), Call("check"), Say("done"))
    helper = Agent(name="Helper", model=inner).as_tool("helper", "Helps.")
    models: dict[str | None, Any] = {None: title, "judge": judge}

    class Provider:
        def get_model(self, name: str | None) -> Any:
            return models[name]

        async def aclose(self) -> None:
            """Nothing is open."""

    ended: list[RunEnded] = []

    class Seen(Hooks):
        def run_ended(self, event: RunEnded) -> None:
            ended.append(event)

    application = Application(
        agent=agent(outer, tools=[helper, check]), model_provider=Provider(), hooks=[Seen()]
    )
    served = await serve(application, token_budget="100000/day", budget_output_tokens=100)
    await served.create()
    used, reserved, open_, spent = await ledger(served)
    assert (used, reserved, open_, spent) == (6 * COST, 0, 0, 6 * COST)
    purposes = {each["purpose"]: each["requests"] for each in (await usage_of(served))["period"]["models"]}
    assert purposes == {"answer": 4, "inner_agent": 1, "title": 1}
    assert ended
    assert ended[0].usage.calls["ScriptedModel", "inner_agent"].input_tokens == 10


@pytest.mark.parametrize("sync", [True, False])
async def test_an_agent_that_an_action_runs_is_charged(serve, sync):
    """A synchronous action has no run: its calls are reserved, refused and booked for the request."""
    judge = ScriptedModel(*[Say("fine")] * 4)

    async def at_once(*_: Any) -> SyncCustomActionResponse:
        await Runner.run(agent(judge), "hello")
        return SyncCustomActionResponse()

    async def streamed(*_: Any) -> AsyncIterator[ThreadStreamEvent]:
        yield ProgressUpdateEvent(text="Asking")
        await Runner.run(agent(judge), "hello")

    application = Application(
        agent=agent(ScriptedModel(Call("show"), Say("Here.")), tools=[show]),
        actions={"act": streamed},
        sync_actions={"act": at_once},
    )
    served = await serve(application, token_budget="500/day", titles="rule")
    thread_id, _ = await served.create()
    used, *_ = await ledger(served)
    widget = next(each["id"] for each in await served.items(thread_id) if each["type"] == "widget")
    params = {"thread_id": thread_id, "item_id": widget, "action": {"type": "act", "payload": {}}}

    async def act() -> Any:
        if sync:
            return await served.person.request("threads.sync_custom_action", params)
        return await (await served.person.stream("threads.custom_action", params)).events()

    await act()
    after, reserved, open_, spent = await ledger(served)
    assert (after - used, reserved, open_, spent) == (COST, 0, 0, after)
    async with served.backchannel.database.write() as connection:
        await connection.execute(text("UPDATE budget_accounts SET used = 490"))
    if sync:
        with pytest.raises(ServerError) as refused:
            await act()
        assert (refused.value.status, refused.value.code) == (429, "budget_exceeded")
    else:
        assert "budget of 500 tokens" in str(await act())
    assert (await ledger(served))[:3] == (490, 0, 0)


async def test_tenants_have_an_account_of_their_own_that_outlives_an_erased_user(serve, eventually):
    served = await serve(
        agent(ScriptedModel(Say("x"), Say("y"))),
        token_budget="1000/day",
        token_budget_tenant=f"{2 * COST}/day",
    )
    await served.create()
    runs = served.backchannel.runs
    async with served.backchannel.database.read() as connection:
        user = (
            await connection.execute(text("SELECT user_id FROM budget_accounts WHERE user_id <> ''"))
        ).scalar_one()
    person = PersonalData(served.backchannel.database, Identity(user), owned_tables())
    assert (await person.count())["budget_accounts"] == 1
    await person.erase()
    assert (await ledger(served))[:3] == (COST, 0, 0)
    other = await served.someone()
    await (await other.say("hello")).events()
    with pytest.raises(ServerError) as refused:
        await (await served.someone()).say("hello")
    assert "Your organisation’s budget of 30 tokens a day is used up." in str(refused.value)
    assert runs.active == 0
    # A visitor does not see what all visitors use together.
    assert [each["scope"] for each in (await usage_of(served))["budgets"]] == ["user"]


async def test_without_budgets_usage_is_seen_and_nothing_is_reserved(serve):
    served = await serve(agent(ScriptedModel(Say("x"))))
    await served.create()
    seen = await usage_of(served)
    assert seen["budgets"] == []
    assert seen["period"]["models"] == [
        {
            "model": "ScriptedModel",
            "purpose": "answer",
            "requests": 1,
            "input_tokens": 10,
            "cached_tokens": 0,
            "output_tokens": 5,
            "cost": None,
        }
    ]
    assert (await ledger(served))[:3] == (0, 0, 0)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"token_budget": "many/day"}, "BACKCHANNEL_TOKEN_BUDGET"),
        ({"token_budget": "5/year"}, "BACKCHANNEL_TOKEN_BUDGET"),
        ({"token_budget": "0/day"}, "BACKCHANNEL_TOKEN_BUDGET"),
        ({"money_budget": "-5/day"}, "BACKCHANNEL_MONEY_BUDGET"),
        ({"money_budget": "5/day"}, "BACKCHANNEL_MODEL_PRICES"),
        (
            {"money_budget": "5/day", "model": "gpt-x", "model_prices": '{"y": {"input": 1, "output": 1}}'},
            "gpt-x",
        ),
        ({"time_zone": "Europe/Nowhere"}, "BACKCHANNEL_TIME_ZONE"),
    ],
)
async def test_a_wrong_setting_stops_the_start(
    serve: Callable[..., Any], settings: dict[str, str], named: str
):
    with pytest.raises(ConfigurationError, match=named):
        await serve(agent(ScriptedModel()), **settings)
