"""Limits of tool calls: a time-out for each call, threads for synchronous tools, and exits that end one run only.

The Agents SDK has no hook around the call of a tool. Three functions are therefore replaced, once per process, by ones
that do the same outside of the runs of this server: the SDK's functions that call a tool and check its output, and
`asyncio.to_thread` as its module `agents.tool` uses it. This covers tools of nested agents and of MCP servers too.
"""

import asyncio
import copy
import inspect
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from functools import partial, wraps
from types import ModuleType
from typing import Any

import structlog
from agents import FunctionTool
from agents import tool as sdk_tool
from agents.run_internal import tool_execution

from backchannel.chat.agent import executed_calls
from backchannel.chat.agent.context import AnswerContext
from backchannel.chat.agent.inner_tools import checked, is_agent, journaled
from backchannel.chat.agent.runner import install_runner
from backchannel.chat.agent.tool_threads import DEFAULT_LIMIT, ToolThreads

log = structlog.get_logger(__name__)

DEFAULT_SECONDS = 600.0
"""The default time-out of a tool call."""

OWN_TIMEOUT_GRACE_SECONDS = 5.0
"""How much longer than its own time-out a tool may take to react to being cancelled."""

CANCEL_SECONDS = 1.0
"""How long a cancelled tool may take to clean up before its run goes on without it."""

_limits: ContextVar["ToolLimits | None"] = ContextVar("tool_limits", default=None)


class ToolExitError(Exception):
    """A tool raised `SystemExit` or `KeyboardInterrupt`, which would end the event loop and so the server."""


class ToolTimedOutError(Exception):
    """A tool that is no function tool did not return in time. The message is for the model."""


class ToolLimits:
    """The limits of the tool calls of one process.

    Args:
        seconds: How long a call may take, including the wait for a thread. The model then gets an output that says so.
            A tool with a time-out of its own has that one. Agents that are called as tools have none: their models and
            tools have their own.
        threads: How many synchronous tools run at the same time.
    """

    def __init__(self, *, seconds: float = DEFAULT_SECONDS, threads: int = DEFAULT_LIMIT) -> None:
        self.seconds = seconds
        self.threads = ToolThreads(threads)

    @contextmanager
    def apply(self) -> Generator[None]:
        """Apply the limits to every tool that is called in the block, and in tasks that it starts."""
        _install()
        token = _limits.set(self)
        try:
            yield
        finally:
            _limits.reset(token)

    async def invoke(self, tool: FunctionTool, call: Callable[[FunctionTool], Any]) -> Any:
        """Call a tool.

        Raises:
            ToolExitError: The tool raised `SystemExit` or `KeyboardInterrupt`.
        """
        if is_agent(tool):
            return await call(tool)
        seconds = self.seconds
        if tool.timeout_seconds is not None:
            seconds = tool.timeout_seconds + OWN_TIMEOUT_GRACE_SECONDS
            # The SDK calls it in a task of its own.
            limited = copy.copy(tool)
            limited.on_invoke_tool = _without_exit(tool.on_invoke_tool)
            tool = limited
        return await self._within(seconds, tool.name, _without_exit(call)(tool), _error_result)

    async def call(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function of a tool that is no function tool, on a thread if it is synchronous.

        Raises:
            Exception: That of the function.
            ToolExitError: The function raised `SystemExit` or `KeyboardInterrupt`.
            ToolTimedOutError: It did not return in time.
        """
        return await self._within(self.seconds, name, _without_exit(_call)(function, *arguments), _time_out)

    async def _within(
        self, seconds: float, name: str, call: Coroutine[Any, Any, Any], timed_out: Callable[[str], Any]
    ) -> Any:
        task = asyncio.create_task(call, name=f"tool {name}")
        try:
            done, _ = await asyncio.wait({task}, timeout=seconds)
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait({task}, timeout=CANCEL_SECONDS)
            task.add_done_callback(_ignore_result)
            raise
        if done:
            return task.result()
        log.warning("tool_timed_out", tool=name, seconds=seconds, hint="BACKCHANNEL_TOOL_TIMEOUT_SECONDS")
        task.cancel()
        # Not waited for: it may ignore this.
        task.add_done_callback(_ignore_result)
        return timed_out(
            f"The tool {name} did not return within {seconds:g} seconds. It may still be running, and may or "
            "may not take effect."
        )


def tool_threads() -> ToolThreads | None:
    """The threads for synchronous tools of the current run; `None` outside of runs."""
    limits = _limits.get()
    return limits.threads if limits is not None and limits.threads.belongs_to_running_loop() else None


def _without_exit(call: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(call)
    async def guarded(*arguments: Any) -> Any:
        try:
            return await call(*arguments)
        except (SystemExit, KeyboardInterrupt) as error:
            log.error("exit_ignored", error=repr(error), hint="a tool must not end the server")
            raise ToolExitError(f"The tool raised {error!r}.") from error

    return guarded


async def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    if inspect.iscoroutinefunction(function) or (threads := tool_threads()) is None:
        result = function(*arguments)
    else:
        result = await threads.submit(partial(copy_context().run, function, *arguments))
    return await result if inspect.isawaitable(result) else result


async def _call_with_current_limits(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    limits = _limits.get()
    return await (_call(function, *arguments) if limits is None else limits.call(name, function, *arguments))


def _time_out(message: str) -> None:
    raise ToolTimedOutError(message)


def _ignore_result(task: asyncio.Task[Any]) -> None:
    # Retrieved, so that asyncio does not report it.
    if not task.cancelled() and (error := task.exception()) is not None:
        log.info("tool_failed_late", task=task.get_name(), error=type(error).__name__)


class _Asyncio(ModuleType):
    """`asyncio` for the SDK's module of tools, with another `to_thread`."""

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    async def to_thread(self, function: Callable[..., Any], /, *args: Any, **options: Any) -> Any:
        """Call a function on a thread; see `asyncio.to_thread`."""
        if (threads := tool_threads()) is None:
            return await asyncio.to_thread(function, *args, **options)
        return await threads.submit(partial(copy_context().run, function, *args, **options))


# Names, because they are private to the SDK or its module.
_CALL, _RESULT, _ASYNCIO = "_invoke_function_tool_with_metadata", "_FunctionToolInvocationResult", "asyncio"
_CHECK = "_execute_tool_output_guardrails"
_sdk_call: Callable[..., Any] = getattr(sdk_tool, _CALL)
_sdk_check: Callable[..., Any] = getattr(tool_execution, _CHECK)
_result: Callable[..., Any] = getattr(sdk_tool, _RESULT)
_error_result: Callable[..., Any] = partial(_result, is_sdk_generated_error=True)


async def _call_with_limits(*, function_tool: FunctionTool, context: Any, arguments: str) -> Any:
    if (known := _known_output(context)) is not None:
        return _result(known)
    limits = _limits.get()

    async def call(tool: FunctionTool) -> Any:
        return await _sdk_call(function_tool=tool, context=context, arguments=arguments)

    async def limited() -> Any:
        return await (call(function_tool) if limits is None else limits.invoke(function_tool, call))

    return await journaled(function_tool, context, limited)


async def _check_output(**arguments: Any) -> Any:
    return await checked(partial(_sdk_check, **arguments))


def _known_output(context: Any) -> str | None:
    """The output of a call that is not to be made again."""
    answer = getattr(context, "context", None)
    if not isinstance(answer, AnswerContext):
        return None
    return answer.known_outputs.pop(getattr(context, "tool_call_id", ""), None)


def _install() -> None:
    install_runner()
    if getattr(sdk_tool, _CALL) is _call_with_limits:
        return
    for module in (sdk_tool, tool_execution):
        setattr(module, _CALL, _call_with_limits)
    setattr(tool_execution, _CHECK, _check_output)
    setattr(sdk_tool, _ASYNCIO, _Asyncio("asyncio"))
    executed_calls.install(_call_with_current_limits)
