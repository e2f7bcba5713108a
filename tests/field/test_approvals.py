"""A person approves or declines what an agent wants to do: across restarts, in nested agents, several at once."""

from collections.abc import Callable
from typing import Any

import pytest
from agents import Agent

from backchannel.client import ServerError
from backchannel.stores.times import utc_now, utc_text
from backchannel.testing import Call, Say
from field.erasing import ALWAYS, APPROVE, PROFILES, Erasing, outputs
from field.odd_models import error, lookup, say, texts

pytestmark = pytest.mark.row("M13", "B8")


@PROFILES
@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "on-another-replica"])
async def test_an_approved_call_is_made_once_and_the_answer_goes_on(
    erasing: Callable[..., Erasing], profile: str, elsewhere: bool
):
    """openai/openai-agents-python#2011."""
    chat = await erasing(profile).start()
    chat.endpoint.add([Say("Let me see."), Call("erase", {"path": "/a"})], Say("Gone."), Say("Yes."))
    thread_id, events = await chat.served.create()
    assert error(events) is None
    question = events[-1]["item"]
    assert (question["type"], question["status"]) == ("structured_input", "pending")
    assert "erase" in question["inputs"][0]["question"]
    assert "/a" in question["inputs"][0]["question"]
    assert await chat.run(thread_id) == "waiting"
    assert chat.erased == []
    if elsewhere:
        await chat.restart()
    events = await chat.answer(thread_id, APPROVE)
    assert error(events) is None
    assert chat.erased == ["/a"]
    assert await chat.run(thread_id) == "completed"
    assert texts(await chat.served.items(thread_id))[1:] == ["Let me see.", "Gone."]
    assert outputs(chat.endpoint) == ["erased /a"]
    await say(chat.served, thread_id, "Is it gone?")
    assert outputs(chat.endpoint) == ["erased /a"]
    assert chat.endpoint.refused == []
    assert chat.erased == ["/a"]


@PROFILES
@pytest.mark.parametrize(
    ("choice", "told"),
    [("Decline", "declined"), (None, "declined"), ("Use /b instead", "They said: Use /b instead")],
    ids=["declined", "skipped", "with-a-reason"],
)
async def test_a_declined_call_is_not_made_and_the_model_is_told_why(
    erasing: Callable[..., Erasing], profile: str, choice: str | None, told: str
):
    chat = await erasing(profile).start()
    chat.endpoint.add(Call("erase", {"path": "/a"}), Say("As you wish."))
    thread_id, _ = await chat.served.create()
    await chat.restart()
    events = await chat.answer(thread_id, choice)
    assert error(events) is None
    assert chat.erased == []
    assert [told in output for output in outputs(chat.endpoint)] == [True]
    await say(chat.served, thread_id, "and now?")
    assert [told in output for output in outputs(chat.endpoint)] == [True]
    assert chat.endpoint.refused == []


async def test_several_calls_are_decided_together(erasing: Callable[..., Erasing]):
    chat = await erasing().start()
    calls = [Call("erase", {"path": "/a"}), Call("lookup", {"q": "x"}), Call("erase", {"path": "/b"})]
    chat.endpoint.add(calls, Say("Done."))
    thread_id, _ = await chat.served.create()
    question = await chat.question(thread_id)
    assert len(question["inputs"]) == 2
    await chat.restart()
    events = await chat.answer(thread_id, "Decline", APPROVE)
    assert error(events) is None
    assert chat.erased == ["/b"]
    told = outputs(chat.endpoint)
    assert sorted(told)[1:] == ["erased /b", "found x"]
    assert "declined" in min(told)
    await say(chat.served, thread_id, "and now?")
    assert sorted(outputs(chat.endpoint)) == sorted(told)
    assert chat.endpoint.refused == []


@PROFILES
async def test_an_approval_inside_an_agent_that_is_a_tool(erasing: Callable[..., Erasing], profile: str):
    chat = erasing(profile)
    await chat.start(chat.agent(nested=True))
    chat.endpoint.add(Call("ask_eraser", {"input": "erase /a"}), Call("erase", {"path": "/a"}))
    chat.endpoint.add(Say("inner: gone"), Say("It is gone."))
    thread_id, events = await chat.served.create()
    assert error(events) is None
    assert "Eraser" in (await chat.question(thread_id))["inputs"][0]["question"]
    await chat.restart(chat.agent(nested=True))
    events = await chat.answer(thread_id, APPROVE)
    assert error(events) is None
    assert chat.erased == ["/a"]
    assert texts(await chat.served.items(thread_id))[-1] == "It is gone."
    assert outputs(chat.endpoint) == ["inner: gone"]
    await say(chat.served, thread_id, "and now?")
    assert outputs(chat.endpoint) == ["inner: gone"]
    assert chat.endpoint.refused == []


async def test_a_decision_counts_once(erasing: Callable[..., Erasing]):
    chat = await erasing().start()
    chat.endpoint.add(Call("erase", {"path": "/a"}), Say("Gone."))
    thread_id, _ = await chat.served.create()
    await chat.answer(thread_id, APPROVE)
    with pytest.raises(ServerError) as refused:
        await chat.answer(thread_id, APPROVE)
    assert refused.value.status == 409
    assert chat.erased == ["/a"]


async def test_who_decided_and_when_is_in_the_thread(erasing: Callable[..., Erasing]):
    chat = await erasing().start()
    calls = [Call("erase", {"path": "/a"}), Call("erase", {"path": "/b"})]
    chat.endpoint.add(calls, Say("Half of it."))
    thread_id, _ = await chat.served.create()
    before = utc_text(utc_now())
    await chat.answer(thread_id, APPROVE, "Decline: I need it")
    stored = await chat.hidden()
    [decision] = [item for item in stored if item["kind"] == "backchannel.approval_decision"]
    assert decision["user"] == chat.user
    assert before <= decision["decided_at"] <= utc_text(utc_now())
    assert decision["approved"] == ["approval_1"]
    assert decision["reasons"] == {"approval_2": "I need it"}
    # The state of the run is needed no more.
    [request] = [item for item in stored if item["kind"] == "backchannel.approval_request"]
    assert "state" not in request


async def test_nobody_else_decides(erasing: Callable[..., Erasing]):
    chat = await erasing().start()
    chat.endpoint.add(Call("erase", {"path": "/a"}), Say("Gone."))
    thread_id, _ = await chat.served.create()
    question = await chat.question(thread_id)
    eve = await chat.served.someone()
    answers = {"approval_1": {"values": [APPROVE]}}
    params = {"thread_id": thread_id, "item_id": question["id"], "input": {"answers": answers}}
    with pytest.raises(ServerError) as refused:
        await eve.stream("threads.add_structured_input", params)
    assert refused.value.status == 404
    await chat.served.person.request("threads.delete", {"thread_id": thread_id})
    with pytest.raises(ServerError) as refused:
        await chat.served.person.stream("threads.add_structured_input", params)
    assert refused.value.status == 404
    assert chat.erased == []


async def test_a_new_message_declines(erasing: Callable[..., Erasing]):
    chat = await erasing().start()
    chat.endpoint.add(Call("erase", {"path": "/a"}), Say("Then not."), Say("Nothing."))
    thread_id, _ = await chat.served.create()
    await chat.restart()
    events = await say(chat.served, thread_id, "never mind")
    assert error(events) is None
    replaced = [event["item"] for event in events if event["type"] == "thread.item.replaced"]
    assert [item["status"] for item in replaced] == ["skipped"]
    assert (await chat.question(thread_id))["status"] == "skipped"
    assert ["not given" in output for output in outputs(chat.endpoint)] == [True]
    with pytest.raises(ServerError) as refused:
        await chat.answer(thread_id, APPROVE)
    assert refused.value.status == 409
    await say(chat.served, thread_id, "what happened?")
    assert ["not given" in output for output in outputs(chat.endpoint)] == [True]
    assert chat.erased == []
    assert chat.endpoint.refused == []


async def test_a_new_message_is_refused_where_the_settings_say_so(erasing: Callable[..., Erasing]):
    chat = await erasing().start(while_waiting="reject")
    chat.endpoint.add(Call("erase", {"path": "/a"}), Say("Gone."), Say("Hello again."))
    thread_id, _ = await chat.served.create()
    with pytest.raises(ServerError) as refused:
        await say(chat.served, thread_id, "never mind")
    assert (refused.value.status, "decision" in str(refused.value)) == (409, True)
    assert (await chat.question(thread_id))["status"] == "pending"
    assert await chat.run(thread_id) == "waiting"
    await chat.answer(thread_id, APPROVE)
    assert chat.erased == ["/a"]
    assert error(await say(chat.served, thread_id, "and now?")) is None


async def test_always_in_this_thread(erasing: Callable[..., Erasing]):
    chat = await erasing().start()
    chat.endpoint.add(Call("erase", {"path": "/a"}), Say("Gone."), Call("erase", {"path": "/b"}), Say("Too."))
    thread_id, _ = await chat.served.create()
    await chat.answer(thread_id, ALWAYS)
    await chat.restart()
    events = await say(chat.served, thread_id, "and /b")
    assert error(events) is None
    assert chat.erased == ["/a", "/b"]
    assert await chat.run(thread_id) == "completed"
    # Another conversation asks again.
    chat.endpoint.add(Call("erase", {"path": "/c"}))
    other, _ = await chat.served.create()
    assert await chat.run(other) == "waiting"
    assert chat.erased == ["/a", "/b"]
    assert chat.endpoint.refused == []


async def test_an_agent_asks_again_after_a_decision(erasing: Callable[..., Erasing]):
    chat = await erasing().start()
    chat.endpoint.add(Call("erase", {"path": "/a"}), Call("erase", {"path": "/b"}), Say("Both."))
    thread_id, _ = await chat.served.create()
    await chat.answer(thread_id, APPROVE)
    assert await chat.run(thread_id) == "waiting"
    await chat.restart()
    events = await chat.answer(thread_id, APPROVE)
    assert error(events) is None
    assert chat.erased == ["/a", "/b"]
    assert outputs(chat.endpoint) == ["erased /a", "erased /b"]
    assert chat.endpoint.refused == []


@pytest.mark.parametrize("change", ["tool-gone", "agent-renamed"])
async def test_the_agent_has_changed_meanwhile(erasing: Callable[..., Erasing], change: str):
    chat = await erasing().start()
    chat.endpoint.add(Call("erase", {"path": "/a"}), Say("I cannot do that any more."))
    thread_id, _ = await chat.served.create()
    changed = Agent[Any](name="Other", tools=[chat.tool()]) if change == "agent-renamed" else None
    await chat.restart(changed or Agent[Any](name="Eraser", tools=[lookup]))
    events = await chat.answer(thread_id, APPROVE)
    assert error(events) is None
    assert chat.erased == []
    assert texts(await chat.served.items(thread_id))[-1] == "I cannot do that any more."
    await say(chat.served, thread_id, "why?")
    assert chat.endpoint.refused == []


@pytest.mark.parametrize("needed", [True, False])
async def test_a_function_says_whether_approval_is_needed(erasing: Callable[..., Erasing], needed: bool):
    chat = erasing()

    async def outside_of_temporary_folders(_context: Any, arguments: dict[str, Any], _call_id: str) -> bool:
        return not arguments["path"].startswith("/tmp/")

    agent = Agent[Any](name="A", tools=[chat.tool(outside_of_temporary_folders)])
    await chat.start(agent)
    chat.endpoint.add(Call("erase", {"path": "/a" if needed else "/tmp/a"}), Say("Gone."))
    thread_id, _ = await chat.served.create()
    assert await chat.run(thread_id) == ("waiting" if needed else "completed")
    assert len(chat.erased) == (0 if needed else 1)


@PROFILES
@pytest.mark.parametrize("arguments", ['{"pa', "[1]", '"foo"', "3"])
async def test_nobody_is_asked_about_a_call_that_cannot_be_made(
    erasing: Callable[..., Erasing], profile: str, arguments: str
):
    """brightwave-inc/tidebreak#1129, open-webui/open-webui#29323: the model is told, and tries again;
    openai/openai-agents-python#3863: a function that looks at the arguments does not let it pass."""
    chat = erasing(profile)
    agent = Agent[Any](
        name="Eraser", tools=[chat.tool(lambda _context, arguments, _call: "path" in arguments)]
    )
    await chat.start(agent)
    chat.endpoint.add(Call("erase", arguments), Call("erase", {"path": "/a"}), Say("Gone."))
    thread_id, events = await chat.served.create()
    assert error(events) is None
    question = await chat.question(thread_id)
    assert [each["question"] for each in question["inputs"]] == ["Run “erase” with path: /a?"]
    assert error(await chat.answer(thread_id, APPROVE)) is None
    assert chat.erased == ["/a"]
    assert ["not valid" in output for output in outputs(chat.endpoint)] == [True, False]
    assert chat.endpoint.refused == []


async def test_approval_for_the_thread_counts_for_the_other_calls_at_once(erasing: Callable[..., Erasing]):
    """microsoft/vscode#289019, google-gemini/gemini-cli#6519. One that is declined stays so."""
    chat = await erasing().start()
    calls = [Call("erase", {"path": path}) for path in ("/a", "/b", "/c")]
    chat.endpoint.add(calls, Say("Gone."))
    thread_id, _ = await chat.served.create()
    assert error(await chat.answer(thread_id, ALWAYS, None, "Decline")) is None
    assert sorted(chat.erased) == ["/a", "/b"]
    assert ["declined" in output for output in outputs(chat.endpoint)] == [False, False, True]
    assert chat.endpoint.refused == []


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "on-another-replica"])
async def test_a_question_is_only_about_calls_that_the_person_has_to_decide(
    erasing: Callable[..., Erasing], elsewhere: bool
):
    """microsoft/agent-framework#6910, microsoft/agent-framework#6414: of several calls at once, each is made or answered;
    nobody is asked about those that are approved for the thread, or cannot be made."""
    chat = erasing()
    agent = Agent[Any](name="Eraser", tools=[chat.tool(), chat.tool(name="drop"), lookup])
    await chat.start(agent)
    chat.endpoint.add(Call("erase", {"path": "/a"}), Say("Gone."))
    thread_id, _ = await chat.served.create()
    await chat.answer(thread_id, ALWAYS)
    chat.endpoint.add(
        [
            Call("lookup", {"q": "1"}),
            Call("erase", {"path": "/b"}),
            Call("drop", {"path": "/c"}),
            Call("drop", '{"pa'),
            Call("drop", {"path": "/d"}),
        ],
        Say("All gone."),
    )
    await say(chat.served, thread_id, "and the others")
    question = await chat.question(thread_id)
    assert [each["question"] for each in question["inputs"]] == [
        "Run “drop” with path: /c?", "Run “drop” with path: /d?"
    ]  # fmt: skip
    if elsewhere:
        again = Agent[Any](name="Eraser", tools=[chat.tool(), chat.tool(name="drop"), lookup])
        await chat.restart(again)
    assert error(await chat.answer(thread_id, APPROVE, None)) is None
    assert sorted(chat.erased) == ["/a", "/b", "/c"]
    told = outputs(chat.endpoint)[-5:]
    assert [told[0], told[1], told[2]] == ["found 1", "erased /b", "erased /c"]
    assert "not valid" in told[3]
    assert "declined" in told[4]
    await say(chat.served, thread_id, "thanks")
    assert chat.endpoint.refused == []


async def test_a_model_that_never_calls_right_meets_the_limit_of_turns(erasing: Callable[..., Erasing]):
    """Each refused call is a turn, although nobody is asked."""
    chat = await erasing().start(max_turns=3)
    chat.endpoint.add(*(Call("erase", '{"pa') for _ in range(8)))
    thread_id, events = await chat.served.create()
    assert error(events) == ("turn_limit", True)
    assert len(chat.endpoint.requests) == 3
    assert await chat.run(thread_id) == "failed"
