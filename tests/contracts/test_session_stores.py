"""Sessions in a database, in Redis and in both keep the contract of every session store."""

from collections.abc import AsyncGenerator, Generator

import pytest

from backchannel.errors import UnavailableError
from backchannel.sessions.redis import RedisSessions
from backchannel.sessions.routed import RoutedSessions
from backchannel.sessions.sql import SqlSessions
from backchannel.sessions.tokens import derived_token, is_ours, kind_of, new_token
from backchannel.stores.sql.accounts import SqlAccounts
from backchannel.stores.sql.engine import Database
from backchannel.testing.contracts.session_store import SessionStoreContract, a_session
from backchannel.web.clients import Client
from databases import KINDS, database_with_tables
from redis_server import key_prefix, shared_server

pytestmark = pytest.mark.row("F3", "F3b", "H2")


@pytest.fixture(scope="module", params=KINDS)
def sessions_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """A database for all tests of a kind."""
    with database_with_tables(request.param, tmp_path_factory.mktemp("sessions")) as url:
        yield url


@pytest.fixture
def prefix() -> Generator[str]:
    with key_prefix(shared_server()) as prefix:
        yield prefix


class TestSqlSessions(SessionStoreContract):
    @pytest.fixture
    async def sessions(self, sessions_url: str) -> AsyncGenerator[SqlSessions]:
        database = Database(sessions_url)
        yield SqlSessions(database)
        await database.close()

    @pytest.fixture
    async def other_replica(self, sessions_url: str) -> AsyncGenerator[SqlSessions]:
        database = Database(sessions_url)
        yield SqlSessions(database)
        await database.close()


class TestRedisSessions(SessionStoreContract):
    @pytest.fixture
    async def sessions(self, prefix: str) -> AsyncGenerator[RedisSessions]:
        store = RedisSessions(shared_server(), prefix=prefix)
        yield store
        await store.aclose()

    @pytest.fixture
    async def other_replica(self, prefix: str) -> AsyncGenerator[RedisSessions]:
        store = RedisSessions(shared_server(), prefix=prefix)
        yield store
        await store.aclose()


class TestRoutedSessions(SessionStoreContract):
    @pytest.fixture
    async def sessions(self, sessions_url: str, prefix: str) -> AsyncGenerator[RoutedSessions]:
        database = Database(sessions_url)
        store = RoutedSessions(RedisSessions(shared_server(), prefix=prefix), SqlSessions(database))
        yield store
        await store.aclose()
        await database.close()

    @pytest.fixture
    async def other_replica(self, sessions_url: str, prefix: str) -> AsyncGenerator[RoutedSessions]:
        database = Database(sessions_url)
        store = RoutedSessions(RedisSessions(shared_server(), prefix=prefix), SqlSessions(database))
        yield store
        await store.aclose()
        await database.close()


async def test_a_redis_that_is_away_is_unavailable_and_no_refusal():
    store = RedisSessions("redis://127.0.0.1:1")
    session = a_session()
    for call in (
        store.find(session.token_hash),
        store.create(session),
        store.end(session.identity, session.id, session.created_at, "logout"),
        store.all_of(session.identity, session.created_at),
    ):
        with pytest.raises(UnavailableError) as error:
            await call
        assert error.value.retry_after
    await store.aclose()


async def test_personal_tokens_do_not_need_redis(sessions_url: str):
    database = Database(sessions_url)
    store = RoutedSessions(RedisSessions("redis://127.0.0.1:1"), SqlSessions(database))
    accounts = SqlAccounts(database)
    session = a_session(kind="personal")
    await store.create(session)
    found = await store.find_with_account(session.token_hash, "personal", accounts)
    assert found is not None
    assert found[0] == session
    with pytest.raises(UnavailableError):
        await store.find_with_account(session.token_hash, "access", accounts)
    await store.aclose()
    await database.close()


def test_tokens_are_told_apart_by_their_prefix():
    for kind in ("cookie", "access", "refresh", "personal"):
        token = new_token(kind)
        assert kind_of(token) == kind
        assert len(token.rpartition("_")[2]) <= 43
        for wrong in (token + "x", token[:-1], token.upper(), token[3:], token + "\n", " " + token):
            assert kind_of(wrong) is None, wrong
        assert is_ours(token)
    assert not is_ours("eyJhbGciOiJIUzI1NiJ9.e30.x")
    assert len({new_token("access") for _ in range(1000)}) == 1000


def test_a_derived_token_needs_both_the_key_and_the_former_token():
    former, key = new_token("refresh"), "k" * 64
    derived = derived_token("refresh", key, former)
    assert kind_of(derived) == "refresh"
    assert derived == derived_token("refresh", key, former)
    others = {
        derived_token("access", key, former),
        derived_token("refresh", "j" * 64, former),
        derived_token("refresh", key, new_token("refresh")),
    }
    assert len(others | {derived}) == 4


@pytest.mark.parametrize(
    ("address", "network", "region"),
    [
        ("203.0.113.77", "203.0.113.77", "203.0.113.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", "2001:db8:1::/48"),
        ("::ffff:203.0.113.77", "203.0.113.77", "203.0.113.0/24"),
        ("fe80::1%eth0", "fe80::/64", "fe80::/48"),
        ("", "", None),
        ("testclient", "", None),
    ],
)
def test_addresses_are_shortened(address: str, network: str, region: str | None):
    assert (Client(address).network, Client(address).region) == (network, region)
