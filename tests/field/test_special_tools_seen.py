"""Shells, patches, computers and custom tools: seen while they run and after a reload, and told to later models."""

import json
from contextlib import AsyncExitStack
from typing import Any

import pytest
from agents import Agent, ComputerTool, ShellTool
from sqlalchemy import text

from backchannel import Application
from backchannel.hooks import Hooks, ToolCall
from backchannel.testing import Call
from backchannel.testing.endpoints import Say, StrictEndpoint
from backchannel.testing.endpoints.wire import message_item
from field.odd_models import error, say, served_on, tasks, texts
from field.special_tools import (
    CLICK,
    SCREEN,
    Screen,
    Workshop,
    answer_of,
    computer,
    custom,
    local_shell,
    local_shell_of,
    patch,
    shell,
)

pytestmark = pytest.mark.row("B5", "B10")

type Json = dict[str, Any]

RUN, PATCH, COMPUTER = "Running a command", "Applying a patch", "Using the computer"


@pytest.fixture
def workshop(serve: Any, stack: AsyncExitStack) -> Workshop:
    return Workshop(serve, stack)


CASES: dict[str, tuple[Json, tuple[str, str, str], tuple[str, Json], str]] = {
    "shell": (
        shell("ls *.txt"),
        (RUN, "complete", "`ls *.txt`"),
        ("shell", {"commands": ["ls *.txt"]}),
        "ran ls *.txt",
    ),
    "several commands": (
        shell("cd /tmp", "echo `date`"),
        (RUN, "complete", "```\ncd /tmp\necho `date`\n```"),
        ("shell", {"commands": ["cd /tmp", "echo `date`"]}),
        "ran echo `date`",
    ),
    # microsoft/vscode#258546, QwenLM/qwen-code#6869, OpenHands/OpenHands#17490.
    "exit code": (
        shell("ls nope"),
        (RUN, "none", "Failed. Exit code 2. `ls nope`"),
        ("shell", {"commands": ["ls nope"]}),
        "exit code: 2",
    ),
    "timeout": (
        shell("sleep 99"),
        (RUN, "none", "Failed. Timed out. `sleep 99`"),
        ("shell", {"commands": ["sleep 99"]}),
        "status: timeout",
    ),
    "shell that raises": (
        shell("explode"),
        (RUN, "none", "Failed. `explode`"),
        ("shell", {"commands": ["explode"]}),
        "no shell",
    ),
    "patch": (
        patch(),
        (PATCH, "complete", "`create a.txt`"),
        ("apply_patch", {"type": "create_file", "path": "a.txt", "diff": "+hi\n"}),
        "made a.txt",
    ),
    "patch that fails": (
        patch("update_file"),
        (PATCH, "none", "Failed. `update a.txt`"),
        ("apply_patch", {"type": "update_file", "path": "a.txt", "diff": "+hi\n"}),
        "no such lines",
    ),
    "editor that raises": (
        patch("delete_file"),
        (PATCH, "none", "Failed. `delete a.txt`"),
        ("apply_patch", {"type": "delete_file", "path": "a.txt", "diff": "+hi\n"}),
        "a.txt",
    ),
    "computer": (
        computer(CLICK, {"type": "type", "text": "hello"}),
        (COMPUTER, "complete", "```\nclick 1, 2\ntype hello\n```"),
        ("computer", {"actions": [CLICK, {"type": "type", "text": "hello"}]}),
        "screenshot",
    ),
    "custom": (
        custom("6*7"),
        ("Calc", "complete", "`6*7` → `42`"),
        ("calc", {"input": "6*7"}),
        "42",
    ),
    "custom that raises": (
        custom("1/0"),
        ("Calc", "none", "Failed. `1/0`"),
        ("calc", {"input": "1/0"}),
        "division by zero",
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_a_call_is_shown_live_and_after_a_reload_and_told_to_the_next_turn(
    workshop: Workshop, case: str
) -> None:
    item, task, (name, arguments), output = CASES[case]
    workshop.endpoint.add(answer_of(item), Say("Done."), Say("As I said."))
    await workshop.start()
    thread_id, events = await workshop.served.create()
    assert error(events) is None
    [begun] = [
        each["item"] for each in events if each["type"] == "thread.item.added" and "workflow" in each["item"]
    ]
    assert begun["workflow"]["tasks"][0]["title"] == task[0]
    assert begun["workflow"]["tasks"][0]["status_indicator"] == "loading"
    assert tasks([each["item"] for each in events if each["type"] == "thread.item.done"]) == [task]
    items = await workshop.served.items(thread_id)
    assert tasks(items) == [task]
    assert [each["type"] for each in items] == ["user_message", "workflow", "assistant_message"]
    assert error(await say(workshop.served, thread_id, "Sure?")) is None
    [(called, given)] = workshop.calls()
    assert called == name
    assert json.loads(given).items() >= arguments.items()
    [told] = workshop.outputs()
    assert output in told
    # Not a pixel of the screen is kept.
    assert SCREEN[:30] not in json.dumps(workshop.inputs()) + json.dumps(items)
    assert workshop.endpoint.refused == []


@pytest.mark.parametrize("profile", ["strictest", "mistral", "gemini", "anthropic"])
async def test_other_endpoints_accept_what_is_told_of_it(
    workshop: Workshop, serve: Any, stack: AsyncExitStack, profile: Any
) -> None:
    """BerriAI/litellm#20905: what only the Responses API knows is dropped, or refused, elsewhere."""
    for item in (shell("ls"), patch(), computer(CLICK), custom("6*7")):
        workshop.endpoint.add(answer_of(item), Say("Done."))
    await workshop.start()
    thread_id, _ = await workshop.served.create()
    for _ in range(3):
        await say(workshop.served, thread_id, "go on")
    other = StrictEndpoint(profile, Say("fine"))
    served = await served_on(serve, stack, other, Agent[Any](name="A"))
    served.person.http.cookies = workshop.served.person.http.cookies
    assert error(await say(served, thread_id, "and?")) is None
    told = [each["content"] for each in other.requests[-1].body["messages"] if each["role"] == "tool"]
    expected = ("ran ls", "made a.txt", "screenshot", "42")
    assert [text in output for text, output in zip(expected, told, strict=True)] == 4 * [True]
    assert other.refused == workshop.endpoint.refused == []


async def test_a_long_patch_is_shortened_in_later_turns(workshop: Workshop) -> None:
    """openai/codex#6417: patches fill the context."""
    diff = "+" + "x" * 50_000
    workshop.endpoint.add(answer_of(patch(diff=diff)), Say("Done."), Say("As I said."))
    await workshop.start()
    thread_id, _ = await workshop.served.create()
    assert diff in json.dumps(workshop.inputs())
    assert error(await say(workshop.served, thread_id, "Sure?")) is None
    [(_, arguments)] = workshop.calls()
    given = json.loads(arguments)
    assert (given["path"], given["diff"][:3], "48,001 characters" in given["diff"]) == ("a.txt", "+xx", True)
    assert len(arguments) < 3_000


async def test_hooks_are_told_of_each_call(workshop: Workshop) -> None:
    """openai/openai-agents-python#3403, openai/codex#16732: hooks that miss patches and commands audit nothing."""
    heard: list[tuple[str, str, str, str]] = []

    class Listener(Hooks):
        def tool_call(self, event: ToolCall) -> None:
            heard.append((event.agent, event.tool, event.call_id, event.outcome))

    workshop.endpoint.add(answer_of(shell("ls"), {**custom("6*7"), "call_id": "call_2"}), Say("Done."))
    await workshop.start(Application(agent=workshop.agent(), hooks=[Listener()]))
    _, events = await workshop.served.create()
    assert error(events) is None
    assert sorted(heard) == [
        ("Smith", "calc", "call_2", "returned"),
        ("Smith", "shell", "call_1", "returned"),
    ]


async def test_the_screenshot_is_nowhere_in_the_store(workshop: Workshop) -> None:
    """kittors/CliRelay#291, AceDataCloud/Nexior#1107: screenshots as Base64 fill the context of every later turn."""
    workshop.endpoint.add(answer_of(computer(CLICK)), Say("Done."))
    await workshop.start()
    await workshop.served.create()
    # The model sees it in this turn.
    assert SCREEN in workshop.inputs()[-1]["output"]["image_url"]
    async with workshop.served.backchannel.database.read() as connection:
        rows = await connection.execute(text("SELECT data FROM items"))
        assert not any(SCREEN[:30] in str(row) for row in rows)


@pytest.mark.parametrize(
    ("command", "task", "output"),
    [
        ("ls", (RUN, "complete", "`ls`"), "a.txt"),
        # openai/openai-agents-python#5086: the exception ended the run, and the model was not told.
        ("explode", (RUN, "none", "Failed. `explode`"), "no shell"),
    ],
)
async def test_the_older_local_shell(
    workshop: Workshop, command: str, task: tuple[str, str, str], output: str
) -> None:
    workshop.endpoint.add(answer_of(local_shell(command)), Say("Done."), Say("As I said."))
    await workshop.start(workshop.agent(local_shell_of(workshop)))
    thread_id, events = await workshop.served.create()
    assert error(events) is None
    assert workshop.done == [command]
    assert workshop.outputs() == [output]
    assert tasks(await workshop.served.items(thread_id)) == [task]
    assert error(await say(workshop.served, thread_id, "Sure?")) is None
    assert workshop.calls() == [("local_shell", json.dumps({"command": [command]}))]
    assert workshop.outputs() == [output]
    assert workshop.endpoint.refused == []


async def test_a_computer_that_fails_ends_the_answer(workshop: Workshop) -> None:
    workshop.endpoint.add(answer_of(computer({"type": "type", "text": "fail"})), Say("Sorry."))
    await workshop.start()
    thread_id, events = await workshop.served.create()
    assert error(events) == ("tool_failed", True)
    assert tasks(await workshop.served.items(thread_id)) == [(COMPUTER, "none", "Failed. `type fail`")]
    assert error(await say(workshop.served, thread_id, "And now?")) is None
    assert workshop.endpoint.refused == []


CHECK = {"id": "cu_sc_1", "code": "malicious_instructions", "message": "This may be harmful."}


@pytest.mark.parametrize("decision", [None, False, True], ids=["nobody decides", "refused", "acknowledged"])
async def test_a_safety_check_of_a_computer(workshop: Workshop, decision: bool | None) -> None:
    """openai/openai-agents-python#843, different-ai/openwork#1950: the API refuses what was not acknowledged, and
    acknowledging it without a look makes the check useless."""
    check = None if decision is None else lambda data: decision
    tool = ComputerTool(Screen(workshop.done), on_safety_check=check)
    workshop.endpoint.add(answer_of(computer(CLICK, checks=(CHECK,))), Say("Done."), Say("Well."))
    await workshop.start(workshop.agent(tool))
    thread_id, events = await workshop.served.create()
    [(title, status, content)] = tasks(await workshop.served.items(thread_id))
    assert (title, "This may be harmful." in str(content)) == (COMPUTER, True)
    if decision:
        assert error(events) is None
        assert (status, workshop.done) == ("complete", ["click 1 2"])
        assert [each["id"] for each in workshop.inputs()[-1]["acknowledged_safety_checks"]] == ["cu_sc_1"]
    else:
        assert error(events) == ("guardrail", False)
        assert (status, str(content).startswith("Failed."), workshop.done) == ("none", True, [])
    assert error(await say(workshop.served, thread_id, "And now?")) is None
    assert workshop.endpoint.refused == []


async def test_a_shell_that_the_provider_runs(workshop: Workshop) -> None:
    output = {
        "type": "shell_call_output", "id": "sho_1", "call_id": "call_1", "status": "completed", "max_output_length": 99,
        "output": [{"stdout": "a.txt\n", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}],
    }  # fmt: skip
    workshop.endpoint.add(
        answer_of(shell("ls"), output, message_item("One file.", "msg_1")), Say("As I said.")
    )
    await workshop.start(workshop.agent(ShellTool(environment={"type": "container_auto"})))
    thread_id, events = await workshop.served.create()
    assert error(events) is None
    items = await workshop.served.items(thread_id)
    assert tasks(items) == [(RUN, "complete", "`ls`")]
    assert texts(items) == ["hello", "One file."]
    assert error(await say(workshop.served, thread_id, "Sure?")) is None
    assert workshop.calls() == [("shell", '{"commands": ["ls"]}')]
    assert workshop.outputs() == ["a.txt"]
    assert workshop.endpoint.refused == []


# BerriAI/litellm#41185 and others: servers give the calls of every response the same ids.
async def test_the_plain_api_reports_calls_and_outputs(workshop: Workshop) -> None:
    workshop.endpoint.add(answer_of(shell("ls nope")), answer_of(computer(CLICK)), answer_of(custom("6*7")))
    await workshop.start()
    body = {"input": {"type": "user_message", "content": [{"type": "text", "text": "hi"}]}}
    response = await workshop.served.person.http.post("/api/chatkit/stream", json=body)
    events = [json.loads(line[6:]) for line in response.text.splitlines() if line.startswith("data: ")]
    started = [(each["name"], each["arguments"]) for each in events if each["type"] == "tool_call.started"]
    ended = [(each["name"], each["output"]) for each in events if each["type"] == "tool_call.completed"]
    assert started == [
        ("shell", {"commands": ["ls nope"]}), ("computer", {"actions": [CLICK]}), ("calc", {"input": "6*7"})
    ]  # fmt: skip
    assert [name for name, _ in ended] == ["shell", "computer", "calc"]
    assert ["exit code: 2" in ended[0][1], "screenshot" in ended[1][1], ended[2][1]] == [True, True, "42"]


async def test_what_an_agent_that_is_a_tool_does_is_shown_below_its_call(workshop: Workshop) -> None:
    outer = workshop.agent(workshop.agent().as_tool("ask_smith", "Asks the smith."))
    inner = (shell("ls nope"), custom("6*7"), computer(CLICK))
    workshop.endpoint.add(
        Call("ask_smith", {"input": "do it"}),
        *(answer_of(each, stream=False) for each in inner),
        *(Say("inner: done"), Say("Done."), Say("As I said.")),
    )
    await workshop.start(outer)
    thread_id, events = await workshop.served.create()
    assert error(events) is None
    shown = tasks(await workshop.served.items(thread_id))
    assert shown == [
        ("Ask smith", "complete", "input: do it\n\ninner: done"),
        (f"Smith: {RUN}", "none", "Failed. Exit code 2. `ls nope`"),
        ("Smith: Calc", "complete", "`6*7` → `42`"),
        (f"Smith: {COMPUTER}", "complete", "`click 1, 2`"),
    ]
    live = [
        (each["update"]["task"]["title"], each["update"]["task"]["status_indicator"])
        for each in events
        if each.get("update", {}).get("task")
    ]
    assert live[:2] == [(f"Smith: {RUN}", "loading"), (f"Smith: {RUN}", "none")]
    assert error(await say(workshop.served, thread_id, "Sure?")) is None
    assert [name for name, _ in workshop.calls()] == ["ask_smith"]
    assert workshop.endpoint.refused == []
