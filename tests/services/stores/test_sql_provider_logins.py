"""Attempts to log in with a provider, and what is known of such logins, on every database."""

import asyncio
from datetime import timedelta

import pytest

from backchannel.context import Identity
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.login_attempts import SqlLoginAttempts
from backchannel.stores.sql.provider_logins import ProviderLogin, SqlProviderLogins
from backchannel.stores.times import utc_now

pytestmark = pytest.mark.row("F2b", "D5")

ADA, BOB = Identity("ada"), Identity("bob")
NOW = utc_now()
SOON, LATE = NOW + timedelta(minutes=10), NOW + timedelta(minutes=11)


async def test_an_attempt_is_taken_once_by_its_browser_and_in_time(database: Database):
    store = SqlLoginAttempts(database)
    for key in ("a" * 64, "A" * 64, "b" * 64):
        await store.add(key, "x" * 64, f"sealed {key}", SOON)
    assert await store.take("a" * 64, ["y" * 64, "X" * 64], NOW) is None
    assert await store.take("a" * 64, [], NOW) is None
    assert await store.take("b" * 64, ["x" * 64], SOON) is None
    taken = await asyncio.gather(*(store.take("a" * 64, ["y" * 64, "x" * 64], NOW) for _ in range(5)))
    assert sorted(taken, key=str) == [None] * 4 + ["sealed " + "a" * 64]
    assert await store.delete_expired(NOW) == 0
    assert await store.delete_expired(LATE) == 2
    assert await store.take("b" * 64, ["x" * 64], NOW) is None


async def test_a_login_is_its_owner_s_and_one_replica_checks_it(database: Database):
    store = SqlProviderLogins(database)
    login = ProviderLogin("ses_1", "sealed", NOW, SOON, LATE)
    await store.add(ADA, login)
    assert await store.find(ADA, "ses_1") == login
    assert await store.find(BOB, "ses_1") is None
    assert await store.find(ADA, "ses_2") is None
    assert not await store.claim(BOB, login, LATE)
    claims = await asyncio.gather(*(store.claim(ADA, login, LATE) for _ in range(5)))
    assert sorted(claims) == [False] * 4 + [True]
    later = LATE + timedelta(minutes=1)
    await store.checked(BOB, "ses_1", "evil", LATE, later)
    await store.checked(ADA, "ses_1", "new", LATE, later)
    assert await store.find(ADA, "ses_1") == ProviderLogin("ses_1", "new", LATE, later, LATE)
    await store.delete(BOB, "ses_1")
    assert await store.find(ADA, "ses_1") is not None
    await store.add(ADA, ProviderLogin("ses_2", "sealed", NOW, None, SOON))
    assert await store.delete_expired(SOON) == 1
    await store.delete(ADA, "ses_1")
    assert await store.find(ADA, "ses_1") is None
