"""What an answer needs of the request it answers, kept with the run so that any process can make it."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from chatkit.types import StreamingReq, ThreadsAddUserMessageReq
from pydantic import TypeAdapter

from backchannel.context import Identity, RequestContext
from backchannel.stores.run_store import RunRecord

_REQUEST: TypeAdapter[StreamingReq] = TypeAdapter(StreamingReq)


def write_request(request: StreamingReq) -> str:
    """The op as JSON."""
    return request.model_dump_json()


def read_request(record: RunRecord) -> StreamingReq:
    """The op of a run.

    Raises:
        ValueError: Nothing is kept of it, or another version kept it.
    """
    return _REQUEST.validate_json(record.request or "null")


def waiting_text(record: RunRecord) -> str | None:
    """The message of a run that waits for its turn, which is in no thread yet."""
    if record.status != "queued":
        return None
    match read_request(record):
        case ThreadsAddUserMessageReq(params=params):
            return "\n".join(part.text for part in params.input.content)
        case _:
            return None


def write_caller(context: RequestContext, *, can_stop: bool) -> str:
    """What else is to be kept, as JSON. No credentials: those that were presented are checked once, at the door."""
    who = context.identity
    return json.dumps(
        {
            "request_id": context.request_id,
            "locale": context.locale,
            "base_url": context.base_url,
            "scopes": sorted(who.scopes),
            "anonymous": who.anonymous,
            "name": who.name,
            "can_stop": can_stop,
        }
    )


def read_caller(
    record: RunRecord, metadata: Mapping[str, Any], tell: Callable[[Mapping[str, Any]], None]
) -> tuple[RequestContext, bool]:
    """The context in which a run answers, and whether its client can stop it."""
    kept = json.loads(record.caller or "{}")
    identity = Identity(
        record.identity.user,
        tenant=record.identity.tenant,
        scopes=frozenset(kept.get("scopes", ())),
        anonymous=bool(kept.get("anonymous")),
        name=kept.get("name"),
    )
    context = RequestContext(
        identity, kept.get("request_id", ""), locale=kept.get("locale"), base_url=kept.get("base_url", "")
    )
    return context.for_run(record.id, metadata, tell), bool(kept.get("can_stop", True))
