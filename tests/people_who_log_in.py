"""Local users for tests, and what browsers and programs send when they log in."""

from collections.abc import Mapping
from typing import Any

import httpx2

from backchannel.accounts.administration import Administration
from backchannel.accounts.passwords import Passwords
from backchannel.audit import Audit
from backchannel.ids import new_id
from backchannel.sessions.service import Lifetimes, Sessions
from backchannel.sessions.sql import SqlSessions
from backchannel.stores.sql.accounts import Account, SqlAccounts
from backchannel.stores.sql.audit_log import AuditRecord, SqlAuditLog
from backchannel.stores.sql.engine import Database

PASSWORD = "hazel parsnip umbrella"
OTHER_PASSWORD = "copper violin rhubarb"

SETTINGS = {"auth": "password", "password_hash_memory_mib": 19, "password_hash_concurrency": 2}
"""Of a server where people log in, with hashes as fast as the settings permit."""

KEY = b"k" * 32

SAME_ORIGIN = {"sec-fetch-site": "same-origin"}


class People:
    """The accounts of a database.

    Args:
        store: The store of sessions; default: that in the database.
    """

    def __init__(self, database: Database, sessions: Sessions | None = None) -> None:
        self.accounts = SqlAccounts(database)
        self.log = SqlAuditLog(database)
        self.audit = Audit(self.log)
        self.passwords = Passwords(memory_kib=64)
        lifetimes = Lifetimes(idle=3600, longest=7200, access=60)
        self.sessions = sessions or Sessions(SqlSessions(database), self.accounts, self.audit, lifetimes, KEY)
        self.administration = Administration(self.accounts, self.passwords, self.sessions, self.audit)

    async def add(
        self, name: str = "alice", password: str = PASSWORD, *, tenant: str = "default", **fields: Any
    ) -> Account:
        """Make an account."""
        values = {"user": new_id("user"), "scopes": {"chat", "todos"}, **fields}
        return await self.administration.add(name, password, tenant=tenant, **values)

    async def events(self) -> list[AuditRecord]:
        """The audit log."""
        return [record async for record in self.log.read()]


def people_of(served: Any) -> People:
    """The accounts of a server that a test has started."""
    return People(served.backchannel.database, served.backchannel.parts.access.sessions)


def cookie_of(response: Any) -> Mapping[str, str]:
    """The name, value and attributes of the one cookie that a response sets."""
    (header,) = response.headers.get_list("set-cookie")
    first, *attributes = [each.strip() for each in header.split(";")]
    name, _, value = first.partition("=")
    found = {each.partition("=")[0].lower(): each.partition("=")[2] for each in attributes}
    return {"name": name, "value": value, **found}


class Browser:
    """Sends what a browser does, with a cookie that the test decides on."""

    def __init__(self, served: Any, cookie: str | None = None, **headers: str) -> None:
        self._http = served.person.http
        self.cookie = cookie
        self.headers = {**SAME_ORIGIN, **{name.replace("_", "-"): value for name, value in headers.items()}}

    async def send(self, method: str, path: str, **options: Any) -> httpx2.Response:
        headers = {**self.headers, **options.pop("headers", {})}
        if self.cookie is not None:
            headers["cookie"] = self.cookie
        self._http.cookies.clear()
        return await self._http.request(method, path, headers=headers, **options)

    async def login(self, name: str = "alice", password: str = PASSWORD) -> httpx2.Response:
        response = await self.send("POST", "/auth/login", json={"name": name, "password": password})
        if response.status_code == 200:
            found = cookie_of(response)
            self.cookie = f"{found['name']}={found['value']}"
        return response

    async def me(self) -> httpx2.Response:
        return await self.send("GET", "/auth/me")
