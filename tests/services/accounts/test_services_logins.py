"""Accounts, logins and their limits on every kind of database."""

import asyncio
import statistics
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import datetime, timedelta
from time import perf_counter
from typing import Any

import pytest
from sqlalchemy import event

from backchannel.accounts.guessing import (
    KNOWN_FREE,
    NETWORK_FREE,
    PAIR_FREE,
    GuessingLimits,
    TooManyAttemptsError,
)
from backchannel.accounts.logins import WRONG, Logins
from backchannel.audit import Audit
from backchannel.context import Identity
from backchannel.errors import ConflictError, NotFoundError, UnauthenticatedError, UnavailableError
from backchannel.sessions.refusals import InvalidGrantError
from backchannel.sessions.sql import MAX_LISTED
from backchannel.stores.sql.audit_log import SqlAuditLog
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.login_failures import FORGET_AFTER, SqlLoginFailures
from backchannel.stores.times import utc_now
from backchannel.web.clients import Client
from people_who_log_in import KEY, OTHER_PASSWORD, PASSWORD, People

pytestmark = pytest.mark.row("F2", "F3b")

HOME = Client("203.0.113.7")
ELSEWHERE = Client("198.51.100.9")


class Clock:
    """The time, which a test moves on."""

    def __init__(self) -> None:
        self.now = utc_now()

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def people(database: Database) -> AsyncGenerator[People]:
    people = People(database)
    yield people
    people.passwords.close()


@pytest.fixture
def logins(database: Database, people: People, clock: Clock) -> Logins:
    limits = GuessingLimits(SqlLoginFailures(database), KEY)
    return Logins(people.accounts, people.passwords, limits, people.audit, clock=clock)


async def fail(logins: Logins, times: int, name: str = "alice", client: Client = HOME) -> None:
    for _ in range(times):
        with pytest.raises(UnauthenticatedError):
            await logins.check(name, "wrong password", client)


async def test_an_account_is_found_by_its_name_and_once(people: People):
    account = await people.add("Alice", user="usr_1", tenant="acme")
    assert account == await people.accounts.find_by_name("alice")
    assert account == await people.accounts.find(Identity("usr_1", tenant="acme"))
    assert account.identity.name == "Alice"
    for again in (
        {"name": "ALICE"},
        {"name": "\uff21lice"},
        {"name": "other", "user": "usr_1", "tenant": "acme"},
    ):
        with pytest.raises(ConflictError):
            await people.add(**again)
    for pattern in ("%", "ali_e", "alice ", "Alice", "alic\u00e9", "alice\x00", "' OR 1=1 --"):
        assert await people.accounts.find_by_name(pattern) is None, pattern
    for stranger in (Identity("usr_1"), Identity("USR_1", tenant="acme"), Identity("usr_1 ", tenant="acme")):
        assert await people.accounts.find(stranger) is None
    assert "argon2" not in repr(account)


async def test_names_of_another_tenant(people: People):
    await people.add("alice", tenant="acme")
    assert (await people.administration.find("alice", "acme")).identity.tenant == "acme"
    with pytest.raises(NotFoundError):
        await people.administration.find("alice", "default")


async def test_a_wrong_password_and_an_unknown_name_read_the_same(logins: Logins, people: People):
    await people.add()
    messages = set()
    for name in ("alice", "nobody", "", "\x00", "x" * 300):
        with pytest.raises(UnauthenticatedError) as error:
            await logins.check(name, "wrong password", HOME)
        messages.add(error.value.message)
    assert messages == {WRONG}
    assert (await logins.check("alice", PASSWORD, HOME)).name == "alice"


async def test_failures_make_the_next_try_wait_longer_and_longer(
    logins: Logins, people: People, clock: Clock
):
    await people.add()
    await fail(logins, PAIR_FREE)
    waits = []
    for _ in range(12):
        await fail(logins, 1)
        # Nothing is looked at meanwhile, also not the right password, and waiting is not made longer by it.
        for _ in range(3):
            with pytest.raises(TooManyAttemptsError) as error:
                await logins.check("alice", PASSWORD, HOME)
        waits.append(error.value.retry_after)
        clock.pass_by(error.value.retry_after or 0)
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]
    await logins.check("alice", PASSWORD, HOME)
    # A login forgets the failures.
    await fail(logins, PAIR_FREE)
    await logins.check("alice", PASSWORD, HOME)


async def test_a_stranger_elsewhere_locks_nobody_out(logins: Logins, people: People):
    await people.add()
    await fail(logins, PAIR_FREE + 1, client=ELSEWHERE)
    with pytest.raises(TooManyAttemptsError):
        await logins.check("alice", PASSWORD, ELSEWHERE)
    await logins.check("alice", PASSWORD, HOME)


async def test_one_who_has_been_there_before_gets_in_whatever_others_there_do(
    logins: Logins, people: People, clock: Clock
):
    await people.add()
    await logins.check("alice", PASSWORD, HOME)
    await fail(logins, PAIR_FREE + 5)
    await logins.check("alice", PASSWORD, HOME)
    # Also when the network has failed with names of all kinds.
    for number in range(KNOWN_FREE + 5):
        stranger = logins.limits.attempt(f"name{number}", HOME.network, known=False)
        await logins.limits.failed(stranger, clock())
    with pytest.raises(TooManyAttemptsError):
        await fail(logins, 10, "somebody")
    await logins.check("alice", PASSWORD, HOME)


async def test_guessing_at_home_ends_too(logins: Logins, people: People, database: Database, clock: Clock):
    account = await people.add()
    await logins.check("alice", PASSWORD, HOME)
    attempt = logins.limits.attempt("alice", HOME.network, known=True)
    await asyncio.gather(*(logins.limits.failed(attempt, clock()) for _ in range(KNOWN_FREE + 3)))
    with pytest.raises(TooManyAttemptsError):
        await logins.check("alice", PASSWORD, HOME)
    clock.pass_by(60)
    await logins.check("alice", PASSWORD, HOME)
    assert account.identity.user


async def test_many_names_from_one_network_wait_a_little(logins: Logins, people: People, clock: Clock):
    """Spraying one password over many names."""
    await people.add()
    for number in range(NETWORK_FREE + 1):
        await fail(logins, 1, f"name{number}")
    with pytest.raises(TooManyAttemptsError) as error:
        await logins.check("alice", PASSWORD, HOME)
    assert error.value.retry_after == 1
    await logins.check("alice", PASSWORD, ELSEWHERE)


async def test_a_neighbour_in_the_same_network_of_ipv6_is_no_other_address(logins: Logins, people: People):
    await people.add()
    for number in range(PAIR_FREE + 1):
        await fail(logins, 1, client=Client(f"2001:db8:1:2::{number + 1}"))
    with pytest.raises(TooManyAttemptsError):
        await logins.check("alice", PASSWORD, Client("2001:db8:1:2:ffff::1"))
    await logins.check("alice", PASSWORD, Client("2001:db8:1:3::1"))


async def test_guesses_at_the_same_time_are_counted(logins: Logins, people: People):
    """They pass the first look together, and are looked at again when it is their turn."""
    await people.add()
    results = await asyncio.gather(
        *(logins.check("alice", f"wrong password {n}", HOME) for n in range(30)), return_exceptions=True
    )
    tried = [each for each in results if isinstance(each, UnauthenticatedError)]
    refused = [each for each in results if isinstance(each, TooManyAttemptsError)]
    assert len(tried) + len(refused) == 30
    # As many as could be hashed at the same time may be too many.
    assert PAIR_FREE + 1 <= len(tried) <= PAIR_FREE + 1 + 4


async def test_counts_are_exact_and_forgotten_after_a_day(database: Database):
    store, now = SqlLoginFailures(database), utc_now()
    await asyncio.gather(*(store.count(["a", "b"], now) for _ in range(20)))
    assert {key: count for key, (count, _) in (await store.counts(["a", "b", "c"], now)).items()} == {
        "a": 20,
        "b": 20,
    }
    later = now + FORGET_AFTER
    assert await store.counts(["a"], later) == {}
    assert await store.count(["a"], later) == {"a": 1}
    await store.clear("a")
    assert await store.delete_old(later) == 1


async def test_no_name_and_no_address_is_in_the_table_of_failures(logins: Logins, database: Database):
    await fail(logins, 1, "nobody@example.com")
    async with database.read() as connection:
        rows = (await connection.exec_driver_sql("SELECT * FROM login_failures")).all()
    assert len(rows) == 2
    assert "nobody" not in str(rows)
    assert HOME.address not in str(rows)


async def test_what_is_recorded(logins: Logins, people: People):
    account = await people.add()
    with pytest.raises(UnauthenticatedError):
        await logins.check(PASSWORD, "", HOME)
    await fail(logins, PAIR_FREE + 1)
    await people.sessions.begin(account.identity, HOME)
    events = await people.events()
    assert [each.event for each in events] == [
        "user.added", "login.failed", *["login.failed"] * (PAIR_FREE + 1), "login.delayed", "login.succeeded",
    ]  # fmt: skip
    # Somebody typed the password into the field of the name.
    assert events[1].subject == ""
    assert "hazel" not in str(events)
    assert {each.subject for each in events[2:-1]} == {f"default/{account.identity.user}"}
    assert {each.address for each in events[1:]} == {HOME.address}
    assert (events[-1].tenant, events[-1].user) == account.identity.owner


async def test_a_login_that_is_under_way_does_not_survive_a_new_password(people: People):
    """The password was right when it was checked, and everything has been ended before the session is stored."""
    account = await people.add()
    await people.administration.set_password(account, OTHER_PASSWORD)
    with pytest.raises(UnauthenticatedError, match="just been changed"):
        await people.sessions.begin(account.identity, HOME, password_of=account.password_changed_at)
    with pytest.raises(UnauthenticatedError):
        await people.sessions.grant(account.identity, HOME, password_of=account.password_changed_at)
    assert await people.sessions.listed(account.identity) == []


async def test_a_login_that_is_under_way_does_not_survive_disabling_or_deleting(people: People):
    account = await people.add()
    await people.administration.disable(account)
    with pytest.raises(UnauthenticatedError, match="disabled"):
        await people.sessions.begin(account.identity, HOME, password_of=account.password_changed_at)
    await people.administration.delete(account)
    with pytest.raises(UnauthenticatedError, match="deleted"):
        await people.sessions.begin(account.identity, HOME, password_of=account.password_changed_at)
    assert await people.sessions.store.all_of(account.identity, utc_now()) == []


async def test_sessions_that_a_store_brings_back_are_worthless(people: People):
    """As Redis does that starts from an old copy of its data."""
    account = await people.add()
    token, session = await people.sessions.begin(account.identity, HOME)
    pair = await people.sessions.grant(account.identity, HOME)
    await people.accounts.set_disabled(account.identity, disabled=True)
    for each in (token, pair.access_token):
        with pytest.raises(UnauthenticatedError, match="disabled"):
            await people.sessions.recognise(each, "cookie", "access")
    with pytest.raises(InvalidGrantError, match="disabled"):
        await people.sessions.refresh(pair.refresh_token, HOME)
    await people.accounts.set_disabled(account.identity, disabled=False)
    await people.accounts.set_password(account.identity, "x", session.created_at + timedelta(seconds=1))
    with pytest.raises(UnauthenticatedError, match="password was changed"):
        await people.sessions.recognise(token, "cookie")


async def test_fewer_scopes_count_at_once(people: People, database: Database):
    account = await people.add(scopes={"chat", "admin"})
    token, _ = await people.sessions.begin(account.identity, HOME)
    assert (await people.sessions.recognise(token, "cookie")).identity.scopes == {"chat", "admin"}
    async with database.write() as connection:
        await connection.exec_driver_sql("""UPDATE users SET scopes = '["chat"]'""")
    assert (await people.sessions.recognise(token, "cookie")).identity.scopes == {"chat"}


async def test_a_session_and_its_account_cost_one_statement(people: People, database: Database):
    account = await people.add()
    token, session = await people.sessions.begin(account.identity, HOME)
    stranger, _ = await people.sessions.begin(Identity("nobody", name="Of a provider"), HOME)
    asked = list[str]()

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    event.listen(database.engine.sync_engine, "before_cursor_execute", note)
    assert await people.sessions.recognise(token, "cookie") == session
    # Of somebody without an account here, too.
    assert (await people.sessions.recognise(stranger, "cookie")).identity.name == "Of a provider"
    event.remove(database.engine.sync_engine, "before_cursor_execute", note)
    assert len(asked) == 2
    assert not any("password_hash" in each for each in asked), "no request needs it"


async def test_the_oldest_of_very_many_logins_can_be_ended(people: People):
    account = await people.add()
    token, oldest = await people.sessions.begin(account.identity, HOME)
    newer = [replace(oldest, id=f"ses_{each}", token_hash=f"{each}") for each in range(MAX_LISTED + 1)]
    await people.sessions.store.create(*newer)
    await people.sessions.end_by_id(account.identity, oldest.id, HOME)
    with pytest.raises(UnauthenticatedError, match="revoked"):
        await people.sessions.recognise(token, "cookie")
    with pytest.raises(NotFoundError):
        await people.sessions.end_by_id(account.identity, oldest.id, HOME)


async def test_idle_and_absolute_expiry(people: People, clock: Clock):
    account = await people.add()
    clock.pass_by(1)
    people.sessions._clock = clock
    token, session = await people.sessions.begin(account.identity, HOME)
    for _ in range(2):
        clock.pass_by(3000)
        await people.sessions.recognise(token, "cookie")
    clock.pass_by(1300)
    with pytest.raises(UnauthenticatedError, match="expired"):
        await people.sessions.recognise(token, "cookie")
    assert clock() - session.created_at >= timedelta(seconds=people.sessions.lifetimes.longest)
    token, _ = await people.sessions.begin(account.identity, HOME)
    clock.pass_by(people.sessions.lifetimes.idle)
    with pytest.raises(UnauthenticatedError, match="expired"):
        await people.sessions.recognise(token, "cookie")


async def test_a_use_is_written_once_a_minute(people: People, clock: Clock, monkeypatch: pytest.MonkeyPatch):
    account = await people.add()
    clock.pass_by(1)
    people.sessions._clock = clock
    token, _ = await people.sessions.begin(account.identity, HOME)
    written: list[datetime] = []
    touch = people.sessions.store.touch

    async def watched(session: Any, now: datetime) -> None:
        written.append(now)
        await touch(session, now)

    monkeypatch.setattr(people.sessions.store, "touch", watched)
    for _ in range(120):
        clock.pass_by(1)
        await people.sessions.recognise(token, "cookie")
    assert len(written) == 2

    async def away(*_: Any) -> None:
        raise UnavailableError("read only")

    monkeypatch.setattr(people.sessions.store, "touch", away)
    clock.pass_by(60)
    assert await people.sessions.recognise(token, "cookie")


class Broken(SqlAuditLog):
    async def append(self, record: Any) -> None:
        raise UnavailableError("no database")


async def test_without_an_audit_log_nothing_is_granted_and_nothing_is_kept(
    people: People, database: Database
):
    """A refusal stays a refusal, what is revoked stays revoked, and those who are logged in go on."""
    account = await people.add()
    token, session = await people.sessions.begin(account.identity, HOME)
    people.sessions.audit = Audit(Broken(database))
    with pytest.raises(UnavailableError):
        await people.sessions.begin(account.identity, HOME)
    with pytest.raises(UnavailableError):
        await people.sessions.grant(account.identity, HOME)
    assert [each.id for each in await people.sessions.listed(account.identity)] == [session.id]
    assert await people.sessions.recognise(token, "cookie")
    logins = Logins(
        people.accounts,
        people.passwords,
        GuessingLimits(SqlLoginFailures(database), KEY),
        people.sessions.audit,
    )
    with pytest.raises(UnauthenticatedError):
        await logins.check("alice", "wrong password", HOME)
    await people.sessions.end(session, HOME)
    with pytest.raises(UnauthenticatedError, match="logged out"):
        await people.sessions.recognise(token, "cookie")


@pytest.mark.alone
async def test_unknown_names_take_as_long_as_known_ones(database: Database):
    """Compared within one run, in turns, with hashes of a real size."""
    people = People(database)
    people.passwords.close()
    slow = type(people.passwords)(memory_kib=19 * 1024)
    limits = GuessingLimits(SqlLoginFailures(database), KEY)
    logins = Logins(people.accounts, slow, limits, people.audit)
    people.administration._passwords = slow
    await people.add()
    await fail(logins, 1, "nobody", Client("192.0.2.200"))
    seconds: dict[str, list[float]] = {"alice": [], "nobody": []}
    for number in range(24):
        for name, found in seconds.items():
            began = perf_counter()
            await fail(logins, 1, name, Client(f"192.0.2.{number}"))
            found.append(perf_counter() - began)
    known, unknown = (statistics.median(found) for found in seconds.values())
    assert 0.7 < unknown / known < 1.4, (known, unknown)
    slow.close()
