"""The part of a request that its answer needs, stored with the run so that any process can execute it."""

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any

from chatkit.types import StreamingReq, ThreadsAddUserMessageReq
from pydantic import TypeAdapter

from backchannel.context import ALL, Identity, RequestContext
from backchannel.stores.run_store import RunRecord

_REQUEST: TypeAdapter[StreamingReq] = TypeAdapter(StreamingReq)


def dump_request(request: StreamingReq) -> str:
    """The op as JSON."""
    return request.model_dump_json()


def load_request(record: RunRecord) -> StreamingReq:
    """The op of a run.

    Raises:
        ValueError: It is not stored, or was stored by an incompatible version.
    """
    return _REQUEST.validate_json(record.request or "null")


def waiting_text(record: RunRecord) -> str | None:
    """The message of a queued run, which is in no thread yet; `None` for any other run."""
    if record.status != "queued":
        return None
    match load_request(record):
        case ThreadsAddUserMessageReq(params=params):
            return "\n".join(part.text for part in params.input.content)
        case _:
            return None


def dump_context(context: RequestContext, *, headers: Collection[str], can_stop: bool) -> str:
    """The rest of the request's context, as JSON. No credentials: they were checked once, when the request came.

    Args:
        headers: Lower-case names of the headers to store.
    """
    who = context.identity
    return json.dumps(
        {
            "request_id": context.request_id,
            "locale": context.locale,
            "base_url": context.base_url,
            "headers": {name: value for name, value in context.headers.items() if name in headers},
            "scopes": sorted(who.scopes),
            "anonymous": who.anonymous,
            "name": who.name,
            "can_stop": can_stop,
        }
    )


def load_context(
    record: RunRecord, metadata: Mapping[str, Any], publish: Callable[[Mapping[str, Any]], None]
) -> tuple[RequestContext, bool]:
    """The context in which a run answers, and whether its client can stop it."""
    stored = json.loads(record.context or "{}")
    identity = Identity(
        record.identity.user,
        tenant=record.identity.tenant,
        scopes=frozenset(stored.get("scopes", (ALL,))),
        anonymous=bool(stored.get("anonymous")),
        name=stored.get("name"),
    )
    context = RequestContext(
        identity,
        stored.get("request_id", ""),
        locale=stored.get("locale"),
        base_url=stored.get("base_url", ""),
        headers=stored.get("headers", {}),
    )
    return context.for_run(record.id, metadata, publish), bool(stored.get("can_stop", True))
