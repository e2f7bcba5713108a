"""Ids that do not collide and sort by the time they were made.

The SDK's default ids carry 32 random bits, which collide after some tens of thousands of items; ours carry
the time in milliseconds (48 bits) and 80 random bits, the proportions of a ULID, in 32 hexadecimal digits.
"""

import secrets
import time
from typing import Literal, get_args

type IdKind = Literal[
    "request", "run", "thread", "message", "tool_call", "task", "workflow", "attachment",
    "sdk_hidden_context", "hidden_context", "user", "replica",
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
}
assert set(_PREFIXES) == set(get_args(IdKind.__value__))


def new_id(kind: IdKind) -> str:
    """A new id such as `thr_0198f2c3a4b5…`: the kind's prefix and 32 hexadecimal digits."""
    return prefixed_id(_PREFIXES[kind])


def prefixed_id(prefix: str) -> str:
    """A new id for an application's own kind of object: `prefix`, an underscore and 32 hexadecimal digits."""
    milliseconds = time.time_ns() // 1_000_000
    return f"{prefix}_{milliseconds:012x}{secrets.token_hex(10)}"
