"""Calls the listeners of `hooks`: at once where they are synchronous, else in order and outside of the run."""

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Sequence
from contextvars import Context, copy_context
from time import perf_counter
from typing import Any

import structlog

from backchannel.hooks import (
    MAX_PENDING,
    SLOW_SECONDS,
    FirstToken,
    Handled,
    HandOff,
    HookEvent,
    Hooks,
    ItemCommitted,
    ModelCall,
    RequestRefused,
    RunEnded,
    RunQueued,
    RunStarted,
    RunTakenOver,
    StreamClosed,
    StreamOpened,
    ToolCall,
)

log = structlog.get_logger(__name__)

_METHODS: dict[type[Any], str] = {
    RunQueued: "run_queued",
    RunStarted: "run_started",
    FirstToken: "first_token",
    ItemCommitted: "item_committed",
    ModelCall: "model_call",
    ToolCall: "tool_call",
    HandOff: "hand_off",
    RunEnded: "run_ended",
    RunTakenOver: "run_taken_over",
    StreamOpened: "stream_opened",
    StreamClosed: "stream_closed",
    RequestRefused: "request_refused",
}


class HookDispatcher:
    """Calls the listeners. Belongs to one event loop.

    An event in which no listener is interested costs a dictionary lookup; check `listens` first where even making the
    event would cost something.
    """

    def __init__(self, listeners: Sequence[Hooks] = ()) -> None:
        self._handlers: dict[type[Any], tuple[Callable[[Any], Handled], ...]] = {}
        # By identity: listeners may be equal or not hashable, as instances of dataclasses are.
        self._queues = {id(each): _ListenerQueue(each) for each in listeners}
        for kind, name in _METHODS.items():
            interested = [each for each in listeners if getattr(type(each), name) is not getattr(Hooks, name)]
            if interested:
                self._handlers[kind] = tuple(getattr(each, name) for each in interested)

    def listens(self, kind: type[HookEvent]) -> bool:
        """Whether any listener is interested in events of a kind."""
        return kind in self._handlers

    def emit(self, event: HookEvent) -> None:
        """Call every listener that is interested. Never raises, never waits."""
        for handler in self._handlers.get(type(event), ()):
            self._call(handler, event)

    async def aclose(self, seconds: float) -> None:
        """Wait for asynchronous listeners to finish what they have, for a bounded time, then cancel them."""
        await asyncio.gather(*(queue.aclose(seconds) for queue in self._queues.values()))

    def _call(self, handler: Callable[[Any], Handled], event: HookEvent) -> None:
        began = perf_counter()
        try:
            handled = handler(event)
        except BaseException:  # a listener must not be able to end a run or the process
            log.exception("hook_failed", hook=_name_of(handler))
            return
        if inspect.iscoroutine(handled):
            listener: Hooks = handler.__self__  # pyright: ignore[reportFunctionMemberAccess]
            self._queues[id(listener)].add(handled, _name_of(handler))
        elif (took := perf_counter() - began) > SLOW_SECONDS:
            log.warning("hook_slow", hook=_name_of(handler), seconds=round(took, 3))


class _ListenerQueue:
    """The calls of one listener's coroutines, in order."""

    def __init__(self, listener: Hooks) -> None:
        self._name = type(listener).__qualname__
        self._calls: asyncio.Queue[tuple[Coroutine[Any, Any, None], Context, str]] = asyncio.Queue(
            MAX_PENDING
        )
        self._task: asyncio.Task[None] | None = None
        self._dropped = 0

    def add(self, call: Coroutine[Any, Any, None], name: str) -> None:
        try:
            self._calls.put_nowait((call, copy_context(), name))
        except asyncio.QueueFull:
            call.close()
            self._dropped += 1
            # Ever more rarely: a listener that hangs would otherwise add a line for each token of each run.
            if self._dropped.bit_count() == 1:
                log.warning("hook_overloaded", hook=name, pending=MAX_PENDING, dropped=self._dropped)
            return
        if self._task is None:
            # Without the request's variables: this task outlives every request.
            self._task = asyncio.create_task(self._run(), name=f"hooks {self._name}", context=Context())

    async def aclose(self, seconds: float) -> None:
        if self._task is None:
            return
        joining = asyncio.create_task(self._calls.join())
        _, late = await asyncio.wait([joining], timeout=seconds)
        if late:
            log.warning("hook_calls_dropped", hook=self._name, pending=self._calls.qsize())
        joining.cancel()
        self._task.cancel()
        await asyncio.wait([joining, self._task])
        while not self._calls.empty():
            self._calls.get_nowait()[0].close()

    async def _run(self) -> None:
        while True:
            call, context, name = await self._calls.get()
            task = asyncio.create_task(_guarded(call, name), context=context)
            try:
                await asyncio.wait([task])
                if task.cancelled():
                    log.error("hook_failed", hook=name, error="CancelledError")
            finally:
                task.cancel()
                self._calls.task_done()


async def _guarded(call: Coroutine[Any, Any, None], name: str) -> None:
    try:
        await call
    except asyncio.CancelledError:
        raise
    except BaseException:  # SystemExit and KeyboardInterrupt in a task end the event loop
        log.exception("hook_failed", hook=name)


def _name_of(handler: Callable[[Any], Handled]) -> str:
    return getattr(handler, "__qualname__", repr(handler))
