"""Requests that tests of runs start, and the types of what their fixtures return."""

from collections.abc import Awaitable, Callable
from typing import Any

from chatkit.types import ChatKitReq, StreamingReq
from pydantic import TypeAdapter

from backchannel.testing import user_message

type ReaderState = Callable[[str], Awaitable[list[dict[str, Any]]]]
"""The events of a run, to its end: the fixture `replay`."""

type Hear = Callable[[str, str], Awaitable[None]]
"""Waits until a run has said something: the fixture `hear`."""

_REQUEST: TypeAdapter[Any] = TypeAdapter(ChatKitReq)


def say(message: str, thread_id: str | None = None, **more: Any) -> StreamingReq:
    """A person's message, in a new thread if none is given, with more fields of its input."""
    params: dict[str, Any] = {"input": {**user_message(message), **more}}
    if thread_id is None:
        return _REQUEST.validate_python({"type": "threads.create", "params": params})
    params["thread_id"] = thread_id
    return _REQUEST.validate_python({"type": "threads.add_user_message", "params": params})
