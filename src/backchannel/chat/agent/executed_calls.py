"""Calls the tools of `executed_tools`: journaled before and after, within limits, and not a second time after a crash.

The Agents SDK tells its hooks which of these tools it calls, and not which call it is (openai-agents-python#3403).
The functions with which it executes a call are therefore replaced, once per process, as in `tool_limits`.
"""

import copy
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial, wraps
from typing import Any, Protocol, cast, override

import structlog
from agents import Agent, ApplyPatchTool, CustomTool, LocalShellTool, RunHooks, ShellTool, Tool
from agents.exceptions import ModelBehaviorError, UserError
from agents.items import RunItem, ToolCallOutputItem
from agents.run_internal import tool_actions

from backchannel.chat.agent.context import AnswerContext
from backchannel.chat.agent.executed_tools import (
    COMPUTER,
    ExecutedCall,
    Outcome,
    output_item,
    read_call,
    read_outcome,
)
from backchannel.chat.agent.inner_tools import JournaledCall, begin_inner
from backchannel.chat.protocol.failures import SAFETY_CHECK
from backchannel.chat.recovery import journal

log = structlog.get_logger(__name__)

type Run = Callable[..., Awaitable[Any]]
"""Calls a function within limits: the name of the tool, the function, its arguments."""


class KeepsJournal(Protocol):
    """The hooks of an answer, which journal the calls of its own agents."""

    async def call_started(self, agent: Agent[Any], call: journal.ToolCall) -> None: ...

    async def call_ended(self, call_id: str, output: str) -> None: ...


def install(run: Run) -> None:
    """Replace the SDK's functions, once per process. Outside of answers of this server they do the same as before.

    Args:
        run: Calls the functions of tools.
    """
    for action in (
        tool_actions.ShellAction,
        tool_actions.LocalShellAction,
        tool_actions.ApplyPatchAction,
        tool_actions.CustomToolAction,
        tool_actions.ComputerAction,
    ):
        action.execute = staticmethod(partial(_execute, action.execute, run))  # pyright: ignore[reportAttributeAccessIssue]
    computer: Any = tool_actions.ComputerAction
    setattr(computer, _ACT, staticmethod(_reporting(getattr(computer, _ACT))))


_ACT = "_execute_action_and_capture"
_TOOLS = ("shell_tool", "local_shell_tool", "apply_patch_tool", "custom_tool")
"""Where the SDK's calls have their tools. Those of computers are not called on threads: they may be bound to one."""


async def _execute(original: Callable[..., Awaitable[RunItem]], run: Run, **arguments: Any) -> RunItem:
    answer = getattr(arguments["context_wrapper"], "context", None)
    made: Any = arguments.get("call") or arguments.get("action")
    place = next((name for name in _TOOLS if hasattr(made, name)), None)
    call = read_call(made.tool_call, getattr(made, place).name if place is not None else None)
    if not isinstance(answer, AnswerContext) or call is None:
        return await original(**arguments)
    recorded = _Recorded(arguments, answer, call)
    if (known := answer.known_outputs.pop(call.call_id, None)) is not None:
        await recorded.repeat(known)
        return ToolCallOutputItem(
            agent=arguments["agent"], output=known, raw_item=cast("Any", output_item(call, known))
        )
    if place is None:
        _check_safety(made.tool_call, arguments)
    else:
        tool = _guarded(getattr(made, place), partial(run, call.name), answer, call)
        arguments["call"] = replace(made, **{place: tool})
    arguments |= {"hooks": recorded, "tool_output_committer": recorded.commit}
    try:
        return await original(**arguments)
    except Exception:
        await recorded.fail()
        raise


class _Recorded(RunHooks[Any]):
    """The hooks of a run during one call, which is journaled between its approval and its start, and when it ended."""

    def __init__(self, arguments: dict[str, Any], answer: AnswerContext, call: ExecutedCall) -> None:
        self._agent: Agent[Any] = arguments["agent"]
        self._hooks: Any = arguments["hooks"]
        self._committer: Callable[[RunItem], None] | None = arguments.get("tool_output_committer")
        self._answer = answer
        self._call = call
        self._inner: JournaledCall | None = None
        self._outcome: Outcome | None = None

    @override
    async def on_tool_start(self, context: Any, agent: Agent[Any], tool: Tool) -> None:
        call = self._call
        self._inner = await begin_inner(
            self._answer, agent, call.call_id, call.name, call.json, item_type=call.item_type
        )
        if self._inner is None:
            await self._start()
        await self._hooks.on_tool_start(context, agent, tool)

    @override
    async def on_tool_end(self, context: Any, agent: Agent[Any], tool: Tool, result: object) -> None:
        outcome = self._outcome or Outcome(str(result))
        if self._inner is not None:
            failed = outcome.failed or self._call.call_id in self._answer.failed_calls
            inner, self._inner = self._inner, None
            await inner.finish(outcome.text, failed=failed, why=outcome.why)
        elif (journal_hooks := self._journal_hooks) is not None:
            await journal_hooks.call_ended(self._call.call_id, outcome.text)
        await self._hooks.on_tool_end(context, agent, tool, result)

    def commit(self, item: RunItem) -> None:
        """Take the output, as soon as there is one."""
        if isinstance(item, ToolCallOutputItem):
            self._outcome = read_outcome(item)
        if self._committer is not None:
            self._committer(item)

    async def repeat(self, output: str) -> None:
        """Journal the output of a call that is not made again."""
        await self._start()
        if (journal_hooks := self._journal_hooks) is not None:
            await journal_hooks.call_ended(self._call.call_id, output)

    async def fail(self) -> None:
        """Journal that an inner agent's call ended with an exception."""
        if self._inner is not None:
            await self._inner.fail()

    async def _start(self) -> None:
        call = self._call
        if (journal_hooks := self._journal_hooks) is not None:
            entry = journal.ToolCall(
                call_id=call.call_id, name=call.name, arguments=call.json, provider_data=call.provider_data
            )
            await journal_hooks.call_started(self._agent, entry)

    @property
    def _journal_hooks(self) -> KeepsJournal | None:
        # Code of the application may run agents with hooks of its own.
        return cast("KeepsJournal", self._hooks) if hasattr(self._hooks, "call_started") else None


def _check_safety(tool_call: Any, arguments: dict[str, Any]) -> None:
    # The SDK would act, and the provider would refuse the next call of the model (openai-agents-python#843).
    if tool_call.pending_safety_checks and arguments.get("acknowledged_safety_checks") is None:
        log.warning("safety_check_not_acknowledged", hint="ComputerTool(on_safety_check=…) decides")
        raise UserError(SAFETY_CHECK)


def _guarded(tool: Any, run: Run, answer: AnswerContext, call: ExecutedCall) -> Any:
    """A copy of a tool whose functions run within limits, and whose exceptions are logged."""

    def guard(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        async def guarded(*values: Any) -> Any:
            try:
                return await run(function, *values)
            except Exception as error:
                answer.failed_calls.add(call.call_id)
                log.error("tool_failed", tool=call.name, call_id=call.call_id, exc_info=error)
                if isinstance(tool, LocalShellTool):
                    # The run would end. The model of any other shell is told (openai-agents-python#5086).
                    return str(error) or type(error).__name__
                raise

        return guarded

    changed = copy.copy(tool)
    match changed:
        case ShellTool() | LocalShellTool():
            changed.executor = guard(cast("Callable[..., Any]", changed.executor))
        case CustomTool():
            changed.on_invoke_tool = guard(changed.on_invoke_tool)
        case ApplyPatchTool():
            changed.editor = cast("Any", _Editor(changed.editor, guard))
        case _:
            pass
    return changed


class _Editor:
    """An editor whose functions are guarded."""

    def __init__(self, editor: Any, guard: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        self._editor = editor
        self._guard = guard

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._editor, name)
        return self._guard(value) if name in {"create_file", "update_file", "delete_file"} else value


def _reporting(original: Callable[..., Awaitable[str]]) -> Callable[..., Awaitable[str]]:
    @wraps(original)
    async def act(computer: Any, tool_call: Any) -> str:
        try:
            return await original(computer, tool_call)
        except ModelBehaviorError:
            raise
        except Exception as error:
            log.error("tool_failed", tool=COMPUTER, call_id=tool_call.call_id, exc_info=error)
            raise UserError(f"Error running tool {COMPUTER}: {error}") from error

    return act
