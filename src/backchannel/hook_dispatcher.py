"""Calls the listeners of `hooks`: at once where they are synchronous, else in order and outside of the run."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import structlog

from backchannel.errors import ConfigurationError
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


def check_listener(listener: Hooks) -> None:
    """Check that every method of a listener can be called with its event.

    Raises:
        ConfigurationError: One cannot, or has nearly the name of an event and would never be called.
    """
    handled = _handlers_of(listener)
    for name, handler in handled.items():
        where = f"hooks: {type(listener).__qualname__}.{name}"
        if not callable(handler):
            raise ConfigurationError(f"{where} is not callable.")
        function = getattr(handler, "__func__", handler)
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise ConfigurationError(
                f"{where} yields, so its body would never run. Write it without `yield`."
            )
        if not _takes_one_argument(handler):
            raise ConfigurationError(f"{where} must take exactly one argument besides self: the event.")
    meant = {name.replace("_", ""): name for name in _METHODS.values()}
    for name in dir(type(listener)):
        hook = meant.get(name.replace("_", "").lower().removeprefix("on"))
        # A listener that handles the event itself may have a method of a similar name for its own use.
        if hook is None or hook == name or hook in handled:
            continue
        if inspect.isroutine(getattr(type(listener), name, None)):
            raise ConfigurationError(
                f"hooks: {type(listener).__qualname__}.{name} would never be called; the event's method is {hook}."
            )


class HookDispatcher:
    """Calls the listeners. Belongs to one event loop. A listener that is given twice is called once.

    An event in which no listener is interested costs a dictionary lookup; check `listens` first where even making the
    event would cost something.
    """

    def __init__(self, listeners: Sequence[Hooks] = ()) -> None:
        handlers: dict[type[Any], list[_Handler]] = {}
        # By identity: listeners may be equal or not hashable, as instances of dataclasses are.
        distinct = {id(each): each for each in listeners}
        self._queues = {key: _ListenerQueue(each) for key, each in distinct.items()}
        kinds = {name: kind for kind, name in _METHODS.items()}
        for key, listener in distinct.items():
            for name, call in _handlers_of(listener).items():
                handler = _Handler(call, f"{type(listener).__qualname__}.{name}", self._queues[key])
                handlers.setdefault(kinds[name], []).append(handler)
        self._handlers = {kind: tuple(each) for kind, each in handlers.items()}

    def listens(self, kind: type[HookEvent]) -> bool:
        """Whether any listener is interested in events of a kind."""
        return kind in self._handlers

    def emit(self, event: HookEvent) -> None:
        """Call every listener that is interested. Never raises, never waits."""
        for handler in self._handlers.get(type(event), ()):
            began = perf_counter()
            try:
                handled: object = handler.call(event)
                if inspect.isawaitable(handled):
                    handler.queue.add(handled, handler.name)
                    continue
            except BaseException:  # a listener must not be able to end a run or the process
                log.exception("hook_failed", hook=handler.name)
                continue
            if (took := perf_counter() - began) > SLOW_SECONDS:
                log.warning("hook_slow", hook=handler.name, seconds=round(took, 3))

    async def aclose(self, seconds: float) -> None:
        """Wait for asynchronous listeners to finish what they have, for a bounded time, then cancel them. Calls that
        are added later are dropped and logged."""
        await asyncio.gather(*(queue.aclose(seconds) for queue in self._queues.values()))


@dataclass(frozen=True, slots=True)
class _Handler:
    """One method of one listener.

    Attributes:
        name: The method's name with that of its class, for log lines.
        queue: Takes what the method returns, if that must be awaited.
    """

    call: Callable[[Any], Handled]
    name: str
    queue: "_ListenerQueue"


class _ListenerQueue:
    """The asynchronous calls of one listener, in order."""

    def __init__(self, listener: Hooks) -> None:
        self._name = type(listener).__qualname__
        self._calls: asyncio.Queue[tuple[Awaitable[Any], Context, str]] = asyncio.Queue(MAX_PENDING)
        self._task: asyncio.Task[None] | None = None
        self._dropped = 0
        self._closed = False

    def add(self, call: Awaitable[Any], name: str) -> None:
        if self._closed:
            _discard(call)
            log.warning("hook_calls_dropped", hook=name, pending=1)
            return
        try:
            self._calls.put_nowait((call, copy_context(), name))
        except asyncio.QueueFull:
            _discard(call)
            self._dropped += 1
            # Ever more rarely: a listener that hangs would otherwise add a line for each token of each run.
            if self._dropped.bit_count() == 1:
                log.warning("hook_overloaded", hook=name, pending=MAX_PENDING, dropped=self._dropped)
            return
        if self._task is None:
            # Without the request's variables: this task outlives every request.
            self._task = asyncio.create_task(self._run(), name=f"hooks {self._name}", context=Context())

    async def aclose(self, seconds: float) -> None:
        if self._task is not None:
            joining = asyncio.create_task(self._calls.join())
            _, late = await asyncio.wait([joining], timeout=seconds)
            if late:
                log.warning("hook_calls_dropped", hook=self._name, pending=self._calls.qsize())
            joining.cancel()
            self._task.cancel()
            await asyncio.wait([joining, self._task])
        self._closed = True
        while not self._calls.empty():
            _discard(self._calls.get_nowait()[0])

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


async def _guarded(call: Awaitable[Any], name: str) -> None:
    try:
        await call
    except asyncio.CancelledError:
        raise
    except BaseException:  # SystemExit and KeyboardInterrupt in a task end the event loop
        log.exception("hook_failed", hook=name)


def _discard(call: Awaitable[Any]) -> None:
    """Close a coroutine, or cancel a task, that will not be awaited."""
    if inspect.iscoroutine(call):
        call.close()
    elif isinstance(call, asyncio.Future):
        call.cancel()


def _handlers_of(listener: Hooks) -> dict[str, Callable[[Any], Handled]]:
    """The methods of a listener that are not those of `Hooks`, by name; also those that were set on the instance."""
    methods = {name: getattr(listener, name) for name in _METHODS.values()}
    return {
        name: method
        for name, method in methods.items()
        if getattr(method, "__func__", None) is not getattr(Hooks, name)
    }


def _takes_one_argument(handler: Callable[[Any], Handled]) -> bool:
    try:
        signature = inspect.signature(handler)
    except (TypeError, ValueError):
        # Some functions that are written in C have none.
        return True
    try:
        signature.bind(object())
    except TypeError:
        return False
    return True
