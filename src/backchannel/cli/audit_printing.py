"""The implementation of `backchannel audit`."""

import json
from datetime import UTC, datetime

from backchannel.cli.people import People, with_people
from backchannel.errors import ConfigurationError
from backchannel.settings import Settings
from backchannel.stores.sql.audit_log import AuditRecord
from backchannel.stores.times import utc_text


def run(settings: Settings, since: str | None, *, as_json: bool) -> None:
    """Print the records, page by page.

    Raises:
        ConfigurationError: `since` is not a time, or the database cannot be used.
    """
    moment = None if since is None else _moment(since)

    async def work(people: People) -> None:
        async for record in people.log.read(moment):
            print(_as_json(record) if as_json else _as_text(record))

    with_people(settings, work)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(
            f"--since: {text!r} is not a time such as 2026-11-29 or 2026-11-29T08:00Z."
        ) from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _as_json(record: AuditRecord) -> str:
    return json.dumps(
        {
            "at": utc_text(record.at),
            "event": record.event,
            "tenant": record.tenant,
            "user": record.user,
            "subject": record.subject,
            "address": record.address,
            "request_id": record.request_id,
            "detail": dict(record.detail),
        }
    )


def _as_text(record: AuditRecord) -> str:
    actor = f"{record.tenant}/{record.user}" if record.user else "-"
    detail = " ".join(f"{name}={value!r}" for name, value in record.detail.items())
    parts = [utc_text(record.at), record.event, actor, record.subject or "-", record.address or "-", detail]
    # Control characters, which a name could have, are escaped.
    return "  ".join(part.encode("unicode_escape").decode() for part in parts if part)
