"""The event loop of `backchannel serve`: `SystemExit` does not end it, and tools do not use up its threads."""

import asyncio
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, override

import structlog

from backchannel.chat.agent.tool_limits import tool_threads

if sys.platform == "win32":
    from asyncio import EventLoop
else:
    from uvloop import Loop as EventLoop

log = structlog.get_logger(__name__)


class ServerEventLoop(EventLoop):
    """An event loop that goes on if a task raises `SystemExit` or `KeyboardInterrupt`.

    asyncio stores such an error in the task, as any other, and raises it out of the loop too. A tool that calls
    `sys.exit()` would so end every other answer. Signals do not come as `KeyboardInterrupt` here: Uvicorn handles them.
    """

    @override
    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        if executor is None and (threads := tool_threads()) is not None:
            # `asyncio.to_thread` in a tool.
            return threads.submit(partial(func, *args))
        return super().run_in_executor(executor, func, *args)

    @override
    def run_until_complete(self, future: Any) -> Any:
        main: asyncio.Future[Any] = asyncio.ensure_future(future, loop=self)
        while True:
            try:
                return super().run_until_complete(main)
            except (SystemExit, KeyboardInterrupt) as error:
                if main.done():
                    raise
                log.error("exit_ignored", error=repr(error), hint="a tool or task must not end the server")
