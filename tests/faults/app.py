"""The application that the faults are done to: agents whose tools leave traces outside of the database.

The ledger is a file with one line for each time a tool did its work, written before anything else can learn of it.
"""

import asyncio
import json
import os
import signal
from pathlib import Path

from agents import Agent, ShellCommandRequest, ShellTool, StopAtTools, function_tool
from agents.tool_context import ToolContext
from chatkit.agents import AgentContext, ClientToolCall

from backchannel import faultpoints, idempotency_key, idempotent

LEDGER = Path(os.environ["FAULTS_LEDGER"])
GATES = Path(os.environ["FAULTS_GATES"])
"""A folder. `slow` waits for a file in it."""


KILL_AT = os.environ.get("FAULTS_KILL_AT")
"""`POINT` or `POINT:NUMBER`: the process dies when it reaches that point for that many times."""


def die_at(place: str) -> None:
    point, _, number = place.partition(":")
    left = int(number or 1)

    def observe(reached: str) -> None:
        nonlocal left
        left -= reached == point
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    faultpoints.observe(observe)


if KILL_AT:
    die_at(KILL_AT)


def enter(tool: str, value: str, key: str | None = None) -> None:
    line = json.dumps({"tool": tool, "value": value, "key": key, "process": os.getpid()}) + "\n"
    file = os.open(LEDGER, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(file, line.encode())
        os.fsync(file)
    finally:
        os.close(file)


async def gate(name: str) -> None:
    while not (GATES / name).exists():  # noqa: ASYNC110 - the test makes the file, in another process
        await asyncio.sleep(0.02)


@function_tool
async def record(value: str) -> str:
    """Do something that must not be done twice."""
    enter("record", value)
    return f"recorded {value}"


@idempotent
@function_tool
async def record_once(ctx: ToolContext[AgentContext], value: str) -> str:
    """Do something that is done once for each key, however often it is asked for."""
    enter("record_once", value, idempotency_key(ctx))
    return f"recorded {value} once"


@function_tool
async def record_last(value: str) -> str:
    """Do something that must not be done twice, and of which the result is the answer."""
    enter("record_last", value)
    return f"recorded {value}"


@function_tool(needs_approval=True)
async def record_if_approved(value: str) -> str:
    """Do something that must not be done twice, nor without a person's approval."""
    enter("record_if_approved", value)
    return f"recorded {value}"


@function_tool
async def slow(value: str) -> str:
    """Do something that must not be done twice, and take long to say that it is done."""
    enter("slow", value)
    await gate(value)
    return f"slowly recorded {value}"


@idempotent
@function_tool
async def slow_once(ctx: ToolContext[AgentContext], value: str) -> str:
    """Do something that is done once for each key, and take long to say that it is done."""
    enter("slow_once", value, idempotency_key(ctx))
    await gate(value)
    return f"slowly recorded {value} once"


@function_tool
async def ask_page(ctx: ToolContext[AgentContext], value: str) -> str:
    """Ask the page that the person looks at."""
    ctx.context.client_tool_call = ClientToolCall(name="ask_page", arguments={"question": value})
    return "asked"


@function_tool
async def lookup(q: str = "x") -> str:
    """Look something up, which leaves no trace."""
    return f"found {q}"


async def run_command(request: ShellCommandRequest) -> str:
    """A command that must not be run twice."""
    [command] = request.data.action.commands
    enter("shell", command)
    return f"ran {command}"


SHELL = [ShellTool(executor=run_command)] if os.environ.get("FAULTS_SHELL") else []
"""Chat Completions has no such tool."""
tools = [*SHELL, record, record_once, record_if_approved, record_last, slow, slow_once, ask_page, lookup]
stop = StopAtTools(stop_at_tool_names=["ask_page", "record_last"])

helper = Agent(name="helper", instructions="You are the helper.", tools=tools, tool_use_behavior=stop)
agent = Agent(
    name="first", instructions="You are the first.", tools=tools, tool_use_behavior=stop, handoffs=[helper]
)
