"""The contract tests of session stores.

Subclass `SessionStoreContract`, provide the fixtures, and run pytest:

    class TestMySessions(SessionStoreContract):
        @pytest.fixture
        async def sessions(self):
            store = MySessions(...)
            yield store
            await store.aclose()
"""

import asyncio
from abc import abstractmethod
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from backchannel.context import Identity
from backchannel.ids import new_id
from backchannel.sessions.base import KEEP_ENDED, Session, SessionStore
from backchannel.sessions.tokens import SessionKind, new_token, token_hash
from backchannel.stores.times import utc_now

ADA = Identity("ada", scopes=frozenset({"chat", "read"}))
STRANGERS = (
    Identity("bob"),
    Identity("ada", tenant="elsewhere"),
    Identity("ADA"),
    Identity("ada "),
    Identity("ad\u00e1"),
    Identity("%"),
    Identity("da", tenant="defaulta"),
)


def a_session(identity: Identity = ADA, kind: SessionKind = "cookie", **fields: Any) -> Session:
    """A session that is not stored yet."""
    now = utc_now()
    values: dict[str, Any] = {
        "id": new_id("session"),
        "kind": kind,
        "identity": identity,
        "token_hash": token_hash(new_token(kind)),
        "created_at": now,
        "last_seen_at": now,
        "expires_at": now + timedelta(days=1),
        **fields,
    }
    return Session(**values)


class SessionStoreContract:
    """Inherit as `class TestMine(SessionStoreContract)` and override the fixtures."""

    @abstractmethod
    @pytest.fixture
    def sessions(self) -> Any:
        """A store. What other tests have stored does not matter, if owners have none of the sessions."""

    @abstractmethod
    @pytest.fixture
    def other_replica(self) -> Any:
        """A second object for the same store, as in another process."""

    @pytest.fixture(autouse=True)
    async def emptied(self, sessions: SessionStore) -> None:
        """Nothing of earlier tests is left of the owners that tests use."""
        for each in (ADA, *STRANGERS):
            await sessions.delete_all(each)

    async def test_a_session_comes_back_as_it_was_stored(
        self, sessions: SessionStore, other_replica: SessionStore
    ) -> None:
        """Every field, and from another replica."""
        full = a_session(
            replace(ADA, name="Ada \u00e9\U0001f600"),
            kind="refresh",
            family=new_id("family"),
            idle_seconds=60,
            name="n \u00e9\U0001f600",
            user_agent="U % _ '",
            address="203.0.113.0/24",
        )
        plain = a_session(Identity("ada"))
        await sessions.create(full)
        await sessions.create(plain)
        found = await other_replica.find(full.token_hash)
        assert found == full
        # The name of people who have no account here is known from nowhere else.
        assert found is not None
        assert found.identity.name == full.identity.name
        assert await other_replica.find(plain.token_hash) == plain
        assert [each.id for each in await other_replica.all_of(ADA, utc_now())] == [plain.id, full.id]

    async def test_an_unknown_token_is_nobodys(self, sessions: SessionStore) -> None:
        """Also one that resembles a stored one, or is a pattern."""
        stored = a_session()
        await sessions.create(stored)
        digest = stored.token_hash
        for unknown in (
            digest.upper(),
            digest[:-1],
            digest + " ",
            digest[:-1] + "_",
            "%",
            "*",
            "",
            stored.id,
        ):
            assert await sessions.find(unknown) is None, unknown

    async def test_a_use_is_noted_and_makes_nothing_new(self, sessions: SessionStore) -> None:
        """A session that was deleted meanwhile stays deleted."""
        session = a_session()
        await sessions.create(session)
        later = session.last_seen_at + timedelta(minutes=5)
        await sessions.touch(session, later)
        assert await sessions.find(session.token_hash) == replace(session, last_seen_at=later)
        await sessions.delete_all(ADA)
        await sessions.touch(session, later)
        assert await sessions.find(session.token_hash) is None

    async def test_an_ended_session_is_ended_everywhere_and_once(
        self, sessions: SessionStore, other_replica: SessionStore
    ) -> None:
        """The first reason stays, and other sessions are not touched."""
        ended, other = a_session(), a_session()
        await sessions.create(ended)
        await sessions.create(other)
        now = utc_now()
        assert await sessions.end(ADA, ended.id, now, "logout")
        found = await other_replica.find(ended.token_hash)
        assert found is not None
        assert (found.ended_at, found.ended_reason, found.live(now)) == (now, "logout", False)
        assert not await other_replica.end(ADA, ended.id, now, "revoked")
        assert (await sessions.find(ended.token_hash)) == found
        assert await sessions.all_of(ADA, now) == [other]

    async def test_a_session_is_found_by_its_id(self, sessions: SessionStore) -> None:
        """By its owner only, of every kind, live or not."""
        stored = [a_session(kind=kind) for kind in ("cookie", "access", "refresh", "personal")]
        for each in stored:
            await sessions.create(each)
            assert await sessions.find_by_id(ADA, each.id) == each
            for stranger in STRANGERS:
                assert await sessions.find_by_id(stranger, each.id) is None
        for unknown in ("", "%", stored[0].token_hash, stored[0].id + " ", "x\x00"):
            assert await sessions.find_by_id(ADA, unknown) is None, unknown
        await sessions.end_all(ADA, utc_now(), "logout")
        found = await sessions.find_by_id(ADA, stored[0].id)
        assert found is not None
        assert found.ended_reason == "logout"

    async def test_access_tokens_are_not_listed(self, sessions: SessionStore) -> None:
        """However many they are, they hide no other session."""
        now = utc_now()
        old = a_session(created_at=now - timedelta(hours=1))
        await sessions.create(old)
        await sessions.create(*(a_session(kind="access", family="fam_1") for _ in range(300)))
        assert await sessions.all_of(ADA, now) == [old]

    async def test_nobody_ends_or_lists_sessions_of_others(self, sessions: SessionStore) -> None:
        """Neither by their ids nor all at once."""
        session = a_session(kind="refresh", family=new_id("family"))
        await sessions.create(session)
        now = utc_now()
        for stranger in STRANGERS:
            assert not await sessions.end(stranger, session.id, now, "revoked")
            assert not await sessions.end_family(stranger, session.family or "", now, "revoked")
            assert not await sessions.end_all(stranger, now, "revoked")
            assert not await sessions.delete_all(stranger)
            assert not await sessions.all_of(stranger, now)
        assert await sessions.find(session.token_hash) == session

    async def test_all_sessions_of_an_owner_end_at_once(self, sessions: SessionStore) -> None:
        """Of every kind, and none of others."""
        own = [a_session(kind=kind) for kind in ("cookie", "access", "refresh", "personal")]
        theirs = [a_session(stranger) for stranger in STRANGERS]
        for each in (*own, *theirs):
            await sessions.create(each)
        now = utc_now()
        assert await sessions.end_all(ADA, now, "password") == 4
        assert await sessions.end_all(ADA, now, "disabled") == 0
        assert await sessions.all_of(ADA, now) == []
        for each in own:
            found = await sessions.find(each.token_hash)
            assert found is not None
            assert found.ended_reason == "password"
        for each in theirs:
            assert await sessions.find(each.token_hash) == each

    async def test_a_family_ends_together(self, sessions: SessionStore) -> None:
        """With tokens that were exchanged before."""
        family, other = new_id("family"), a_session(kind="refresh", family=new_id("family"))
        first = a_session(kind="refresh", family=family)
        second = a_session(kind="refresh", family=family)
        access = a_session(kind="access", family=family)
        now = utc_now()
        await sessions.create(first)
        await sessions.create(other)
        assert await sessions.exchange(first, now, "k" * 64, [second, access])
        await sessions.end_family(ADA, family, now, "reuse")
        for each in (first, second, access):
            found = await sessions.find(each.token_hash)
            assert found is not None
            assert found.ended_reason == "reuse"
        assert await sessions.all_of(ADA, now) == [other]

    async def test_one_of_many_exchanges_wins(
        self, sessions: SessionStore, other_replica: SessionStore
    ) -> None:
        """On two replicas at once; only its successors are stored, and all see its key."""
        former = a_session(kind="refresh", family=new_id("family"))
        await sessions.create(former)
        now = utc_now()
        tries = [
            (store, f"{number:064}", a_session(kind="refresh", family=former.family))
            for number, store in enumerate([sessions, other_replica] * 5)
        ]
        won = await asyncio.gather(*(store.exchange(former, now, key, [new]) for store, key, new in tries))
        assert won.count(True) == 1
        (_, key, successor) = tries[won.index(True)]
        found = await sessions.find(former.token_hash)
        assert found is not None
        assert (found.rotation_key, found.rotated_at) == (key, now)
        assert await sessions.all_of(ADA, now) == [successor]

    async def test_an_ended_token_is_not_exchanged(self, sessions: SessionStore) -> None:
        """Nothing is stored, and nothing follows from a token that was never there."""
        former = a_session(kind="refresh", family=new_id("family"))
        await sessions.create(former)
        now = utc_now()
        await sessions.end_all(ADA, now, "revoked")
        for each in (former, a_session(kind="refresh")):
            new = a_session(kind="refresh")
            assert not await sessions.exchange(each, now, "k" * 64, [new])
            assert await sessions.find(new.token_hash) is None

    async def test_no_exchange_survives_the_end_of_all(
        self, sessions: SessionStore, other_replica: SessionStore
    ) -> None:
        """Whatever the order in which they come."""
        for _ in range(10):
            former = a_session(kind="refresh", family=new_id("family"))
            new = a_session(kind="refresh", family=former.family)
            await sessions.create(former)
            now = utc_now()
            await asyncio.gather(
                sessions.exchange(former, now, "k" * 64, [new]),
                other_replica.end_all(ADA, now, "disabled"),
            )
            found = await sessions.find(new.token_hash)
            assert found is None or found.ended_reason == "disabled"
            assert await sessions.all_of(ADA, now) == []

    async def test_expired_sessions_are_not_listed_but_known_for_a_day(self, sessions: SessionStore) -> None:
        """By lack of use, and in all."""
        now = utc_now()
        over = a_session(expires_at=now - timedelta(seconds=1))
        idle = a_session(idle_seconds=60, last_seen_at=now - timedelta(seconds=60))
        used = a_session(idle_seconds=60, last_seen_at=now - timedelta(seconds=50))
        for each in (over, idle, used):
            await sessions.create(each)
        assert await sessions.all_of(ADA, now) == [used]
        await sessions.delete_expired(now)
        for each in (over, idle):
            found = await sessions.find(each.token_hash)
            assert found is not None
            assert not found.live(now)

    async def test_old_sessions_are_deleted(self, sessions: SessionStore) -> None:
        """After a day; live ones and exchanged ones stay."""
        now = utc_now()
        over = a_session(expires_at=now - KEEP_ENDED - timedelta(seconds=1))
        live, former = a_session(), a_session(kind="refresh", family=new_id("family"))
        for each in (live, former):
            await sessions.create(each)
        await sessions.exchange(former, now - 2 * KEEP_ENDED, "k" * 64, [])
        await sessions.create(over)
        for _ in range(500):
            await sessions.delete_expired(now)
            if await sessions.find(over.token_hash) is None:
                break
            await asyncio.sleep(0.01)
        assert await sessions.find(over.token_hash) is None
        assert await sessions.find(live.token_hash) == live
        assert await sessions.find(former.token_hash) is not None

    async def test_everything_of_an_owner_is_deleted(self, sessions: SessionStore) -> None:
        """Ended ones too, twice without an error, and nothing of others."""
        ended, live, other = a_session(), a_session(kind="personal"), a_session(STRANGERS[0])
        for each in (ended, live, other):
            await sessions.create(each)
        await sessions.end(ADA, ended.id, utc_now(), "logout")
        assert await sessions.delete_all(ADA) == 2
        assert await sessions.delete_all(ADA) == 0
        for each in (ended, live):
            assert await sessions.find(each.token_hash) is None
        assert await sessions.find(other.token_hash) == other
