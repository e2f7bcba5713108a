"""`Idempotency-Key`: a request that is sent twice with the same key is carried out once.

See https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/.
"""

import hashlib
from collections.abc import Awaitable, Callable
from datetime import timedelta

from pydantic import BaseModel

from backchannel.context import Identity
from backchannel.errors import ConflictError
from backchannel.stores.run_store import (
    IdempotencyKeyInUseError,
    IdempotencyRecord,
    IdempotencyStore,
    idempotency_id,
)
from backchannel.stores.times import utc_now

ANSWER_SECONDS = 60
"""A key without a response after so long belongs to a process that died: the request can be sent again."""


def new_idempotency_record(request: BaseModel, identity: Identity, key: str) -> IdempotencyRecord:
    """The record of a key's first use, not stored yet."""
    digest = hashlib.sha256(request.model_dump_json().encode()).hexdigest()
    return IdempotencyRecord(idempotency_id(identity, key), digest, utc_now())


def check_same_request(
    record: IdempotencyRecord, earlier: IdempotencyRecord | None
) -> IdempotencyRecord | None:
    """The earlier use of the same key, if there was one.

    Raises:
        ConflictError: It was used for a different request.
    """
    if earlier is not None and earlier.request != record.request:
        raise ConflictError("This Idempotency-Key was used for a different request. Make a new one.")
    return earlier


async def answer_once(
    keys: IdempotencyStore,
    record: IdempotencyRecord,
    key: str,
    identity: Identity,
    answer: Callable[[], Awaitable[bytes]],
) -> bytes:
    """Call `answer` once per key and return its stored result when asked again.

    After a crash in the middle it is unknown whether the request was carried out: for `ANSWER_SECONDS` it counts as in
    progress, then it can be sent again.

    Raises:
        ConflictError: The key was used for a different request, or its request is in progress.
    """
    earlier = check_same_request(record, await keys.load(identity, key))
    if earlier is not None and earlier.response is not None:
        return earlier.response.encode()
    if earlier is not None and utc_now() - earlier.created_at > timedelta(seconds=ANSWER_SECONDS):
        await keys.save_response(earlier.id, None, identity)
        earlier = None
    if earlier is not None:
        raise _in_progress()
    try:
        await keys.add(record, identity)
    except IdempotencyKeyInUseError:
        raise _in_progress() from None
    try:
        response = await answer()
    except BaseException:
        await keys.save_response(record.id, None, identity)
        raise
    await keys.save_response(record.id, response.decode(), identity)
    return response


def _in_progress() -> ConflictError:
    return ConflictError("This request is being answered already. Try again in a moment.", retry_after=1)
