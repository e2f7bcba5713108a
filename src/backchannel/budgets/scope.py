"""To whom the calls of models in a task are charged, and what they are for."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Literal

from backchannel.context import Identity, RequestContext, Usage

type Purpose = Literal["answer", "title", "inner_agent"]


@dataclass(frozen=True, slots=True)
class ChargeScope:
    """The run, or the request, to which calls belong.

    Attributes:
        run_id: Empty outside of runs.
        usage: Every call is added to it.
        loop: The event loop of the server: a synchronous tool may run agents in a loop of its own, which must not use
            the server's connections.
    """

    identity: Identity
    run_id: str
    usage: Usage
    purpose: Purpose
    loop: asyncio.AbstractEventLoop


_scope: ContextVar[ChargeScope | None] = ContextVar("charged_to", default=None)


def current_scope() -> ChargeScope | None:
    """The scope of this task; `None` if nothing says who a call is for."""
    return _scope.get()


@contextmanager
def charged_to(context: RequestContext, purpose: Purpose = "answer") -> Generator[None]:
    """In the block, and in tasks that it starts, calls of models are charged to the caller of `context`."""
    loop = asyncio.get_running_loop()
    token = _scope.set(ChargeScope(context.identity, context.run_id or "", context.usage, purpose, loop))
    try:
        yield
    finally:
        _scope.reset(token)


@contextmanager
def for_purpose(purpose: Purpose) -> Generator[None]:
    """In the block, and in tasks that it starts, calls have this purpose."""
    scope = _scope.get()
    token = _scope.set(replace(scope, purpose=purpose) if scope is not None else None)
    try:
        yield
    finally:
        _scope.reset(token)
