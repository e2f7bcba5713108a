"""Unique ids that sort by creation time.

Like a ULID, an id has the time in milliseconds (48 bits) and 80 random bits, here as 32 hexadecimal digits. The SDK's
default ids have 32 random bits, which collide after some tens of thousands of items.
"""

import secrets
import time
from typing import Literal, get_args

type IdKind = Literal[
    "request", "run", "thread", "message", "tool_call", "task", "workflow", "attachment",
    "sdk_hidden_context", "hidden_context", "user", "replica", "session", "family", "reservation",
]  # fmt: skip

_PREFIXES: dict[IdKind, str] = {
    "request": "req",
    "run": "run",
    "thread": "thr",
    "message": "msg",
    "tool_call": "tc",
    "task": "tsk",
    "workflow": "wf",
    "attachment": "atc",
    "sdk_hidden_context": "shcx",
    "hidden_context": "hcx",
    "user": "usr",
    "replica": "rep",
    "session": "ses",
    "family": "fam",
    "reservation": "bres",
}
assert set(_PREFIXES) == set(get_args(IdKind.__value__))


def new_id(kind: IdKind) -> str:
    """A new id such as `thr_0198f2c3a4b5…`: the kind's prefix and 32 hexadecimal digits."""
    return prefixed_id(_PREFIXES[kind])


def prefixed_id(prefix: str) -> str:
    """A new id for an application's own objects: `prefix`, an underscore and 32 hexadecimal digits."""
    milliseconds = time.time_ns() // 1_000_000
    return f"{prefix}_{milliseconds:012x}{secrets.token_hex(10)}"
