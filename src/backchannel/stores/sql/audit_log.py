"""The audit log in a SQL database: rows are added, and neither changed nor deleted."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select

from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.ownership import fitting
from backchannel.stores.sql.tables import audit_log
from backchannel.stores.sql.transactions import retryable

PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """One row of the audit log.

    Attributes:
        at: When, in UTC.
        event: What happened, such as `login.succeeded`.
        tenant: With `user`: who acted. Both are empty if that is not known, and for the command line.
        subject: What it happened to, such as the id of a session or `tenant/user`; may be empty.
        address: The client's.
        detail: Further facts, without secrets.
    """

    at: datetime
    event: str
    tenant: str = ""
    user: str = ""
    subject: str = ""
    address: str | None = None
    request_id: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict[str, Any])


class SqlAuditLog:
    """The store of the audit log."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def append(self, record: AuditRecord) -> None:
        """Add a row. Not retried: after a commit with unknown outcome it would be there twice.

        Raises:
            UnavailableError: The database cannot be reached.
        """
        values = {
            "at": record.at,
            "event": record.event,
            "tenant": record.tenant,
            "user_id": record.user,
            "subject": record.subject[:255],
            "address": record.address,
            "request_id": record.request_id,
            "detail": dict(record.detail),
        }
        async with self.database.write() as connection:
            await connection.execute(insert(audit_log).values(fitting(audit_log, values)))

    async def read(self, since: datetime | None = None) -> AsyncGenerator[AuditRecord]:
        """The rows since a moment, for the operator, oldest first, a page at a time."""
        last = 0
        while rows := await self._page(last, since):
            for row in rows:
                yield AuditRecord(
                    at=row["at"],
                    event=row["event"],
                    tenant=row["tenant"],
                    user=row["user_id"],
                    subject=row["subject"],
                    address=row["address"],
                    request_id=row["request_id"],
                    detail=row["detail"],
                )
            last = rows[-1]["id"]

    @retryable
    async def _page(self, after: int, since: datetime | None) -> list[Mapping[Any, Any]]:
        statement = select(audit_log).where(audit_log.c.id > after).order_by(audit_log.c.id).limit(PAGE)
        if since is not None:
            statement = statement.where(audit_log.c.at >= since)
        async with self.database.read() as connection:
            return [dict(row) for row in (await connection.execute(statement)).mappings()]
