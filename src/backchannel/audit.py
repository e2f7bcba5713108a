"""The audit log: who logged in, failed, was given or lost access, and whose data was exported or erased.

Every event is a log line too, so that one that cannot be stored is not lost. What that means for the caller depends
on the event:

- A login, or a token, is only granted once its event is stored: without a database it is refused (503).
- A refusal or a revocation holds whether or not its event can be stored.
- Reading one's own data writes no event, and never fails because of one.
"""

from collections.abc import Mapping
from typing import Any, Literal

import structlog

from backchannel.context import Identity
from backchannel.stores.sql.audit_log import AuditRecord, SqlAuditLog
from backchannel.stores.times import utc_now
from backchannel.web.clients import Client

type AuditEvent = Literal[
    "login.succeeded", "login.failed", "login.delayed", "login.disabled",
    "token.granted", "token.refreshed", "token.reused", "token.created",
    "session.ended", "sessions.ended",
    "user.added", "user.disabled", "user.enabled", "user.password_changed", "user.deleted",
    "data.exported", "data.erased",
]  # fmt: skip
"""What is recorded."""

log = structlog.get_logger(__name__)

COMMAND_LINE = Client()


class Audit:
    """Writes the audit log.

    Args:
        store: `None`: events are log lines only.
    """

    def __init__(self, store: SqlAuditLog | None) -> None:
        self._store = store

    async def grant(self, event: AuditEvent, actor: Identity | None, client: Client, **facts: Any) -> None:
        """Record that somebody gets access, before they do.

        Args:
            facts: `subject`, and further facts without secrets.

        Raises:
            UnavailableError: It cannot be stored; nothing may be granted.
        """
        record = _record(event, actor, client, facts)
        if self._store is not None:
            await self._store.append(record)
        _log(record)

    async def note(self, event: AuditEvent, actor: Identity | None, client: Client, **facts: Any) -> None:
        """Record what has happened already, and holds whether or not this succeeds. Never raises for a failing
        store."""
        record = _record(event, actor, client, facts)
        _log(record)
        if self._store is None:
            return
        try:
            await self._store.append(record)
        except Exception:
            log.exception("audit_not_stored", audit_event=event)


def subject_of(identity: Identity) -> str:
    """A person as the subject of an event."""
    return f"{identity.tenant}/{identity.user}"


def _record(
    event: AuditEvent, actor: Identity | None, client: Client, facts: Mapping[str, Any]
) -> AuditRecord:
    detail = {name: value for name, value in facts.items() if name != "subject" and value is not None}
    return AuditRecord(
        at=utc_now(),
        event=event,
        tenant=actor.tenant if actor else "",
        user=actor.user if actor else "",
        subject=facts.get("subject") or "",
        address=client.address[:64] or None,
        request_id=client.request_id,
        detail=detail,
    )


def _log(record: AuditRecord) -> None:
    log.info(
        "audit",
        audit_event=record.event,
        tenant=record.tenant,
        actor=record.user,
        subject=record.subject,
        address=record.address,
        detail=dict(record.detail),
    )
