"""Requests that name themselves, so that sending one twice does it once (`Idempotency-Key`)."""

import hashlib
from collections.abc import Awaitable, Callable
from datetime import timedelta

from pydantic import BaseModel

from backchannel.context import Identity
from backchannel.errors import ConflictError
from backchannel.stores.run_store import Attempt, AttemptStore, AttemptTakenError, attempt_id
from backchannel.stores.times import utc_now

ANSWER_SECONDS = 60
"""After so long without an answer, whoever was making it is taken for dead, and the request can be sent again."""


def new_attempt(request: BaseModel, identity: Identity, key: str) -> Attempt:
    """The first use of a caller's key, as far as is known."""
    digest = hashlib.sha256(request.model_dump_json().encode()).hexdigest()
    return Attempt(attempt_id(identity, key), digest, utc_now())


def check_attempt(attempt: Attempt, earlier: Attempt | None) -> Attempt | None:
    """The earlier use of the same key, if there was one.

    Raises:
        ConflictError: It was used for a different request.
    """
    if earlier is not None and earlier.request != attempt.request:
        raise ConflictError("This Idempotency-Key was used for a different request. Make a new one.")
    return earlier


async def once(
    attempts: AttemptStore,
    attempt: Attempt,
    key: str,
    identity: Identity,
    answer: Callable[[], Awaitable[bytes]],
) -> bytes:
    """Make an answer once per key, and give it again when asked again.

    After a crash in the middle, nobody knows whether it was made: for `ANSWER_SECONDS` it counts as being made, then it
    can be made again.

    Raises:
        ConflictError: The key was used for a different request, or its answer is being made.
    """
    earlier = check_attempt(attempt, await attempts.load(identity, key))
    if earlier is not None and earlier.response is not None:
        return earlier.response.encode()
    if earlier is not None and utc_now() - earlier.created_at > timedelta(seconds=ANSWER_SECONDS):
        await attempts.answer(earlier.id, None, identity)
        earlier = None
    if earlier is not None:
        raise _being_answered()
    try:
        await attempts.add(attempt, identity)
    except AttemptTakenError:
        raise _being_answered() from None
    try:
        made = await answer()
    except BaseException:
        await attempts.answer(attempt.id, None, identity)
        raise
    await attempts.answer(attempt.id, made.decode(), identity)
    return made


def _being_answered() -> ConflictError:
    return ConflictError("This request is being answered already. Try again in a moment.", retry_after=1)
