"""`backchannel user`, `token` and `audit`: what an operator does with local users."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from backchannel.context import Identity
from backchannel.sessions.base import SessionStore
from backchannel.sessions.redis import RedisSessions
from backchannel.sessions.tokens import kind_of, token_hash
from backchannel.stores.sql.accounts import SqlAccounts
from backchannel.stores.sql.engine import Database
from backchannel.testing.contracts.session_store import a_session
from people_who_log_in import OTHER_PASSWORD, PASSWORD, People
from processes import free_port
from redis_server import shared_server

pytestmark = [pytest.mark.row("H4", "F2", "F3b"), pytest.mark.usefixtures("hashing")]


@pytest.fixture
def hashing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKCHANNEL_PASSWORD_HASH_MEMORY_MIB", "19")


def added(command: Any, url: str, name: str = "alice", **options: Any) -> str:
    """Add a user; the id."""
    ended = command(
        "user", "add", name, *options.pop("arguments", ()), piped=f"{PASSWORD}\n", database_url=url
    )
    assert ended.code == 0, ended
    assert PASSWORD not in ended.out + ended.err
    return ended.out.partition("(id ")[2].partition(",")[0]


def test_a_user_is_added_changed_and_deleted(todo_url: str, command: Any, use_database: Callable[..., Any]):
    user = added(command, todo_url, "Alice")
    assert user.startswith("usr_")
    listed = command("user", "list", database_url=todo_url).out
    assert ["alice", "default", user, "chat", "todos", "enabled"] == listed.splitlines()[1].split()[:6]
    token = command("token", "--user", "ALICE", "--days", "3", database_url=todo_url).out.strip()
    assert kind_of(token) == "personal"

    async def recognised(database: Database) -> Any:
        people = People(database)
        session = await people.sessions.recognise(token, "personal")
        return session.identity.user, (session.expires_at - session.created_at).days

    assert use_database(todo_url, recognised) == (user, 3)
    for arguments, piped, said in (
        (("disable",), "", "Disabled alice"),
        (("enable",), "", "Enabled alice"),
        (("password",), f"{OTHER_PASSWORD}\n", "Changed the password"),
        (("delete",), "", "Deleted alice"),
    ):
        extra = ("--yes",) if arguments == ("delete",) else ()
        ended = command("user", *arguments, "alice", *extra, piped=piped, database_url=todo_url)
        assert (ended.code, said in ended.out) == (0, True), ended
    assert "There are no users" in command("user", "list", database_url=todo_url).out
    log = [json.loads(line) for line in command("audit", "--json", database_url=todo_url).out.splitlines()]
    assert [each["event"] for each in log] == [
        "user.added", "token.created", "user.disabled", "sessions.ended", "user.enabled",
        "user.password_changed", "sessions.ended", "sessions.ended", "user.deleted",
    ]  # fmt: skip
    assert token not in str(log)
    assert token_hash(token) not in str(log)
    assert {each["subject"] for each in log} - {f"default/{user}"} == {log[1]["subject"]}
    text = command("audit", database_url=todo_url).out
    assert len(text.splitlines()) == len(log)
    assert command("audit", "--since", "2999-01-01", database_url=todo_url).out == ""


@pytest.mark.parametrize(
    ("arguments", "piped", "reason"),
    [
        (["user", "add", "a b"], PASSWORD, "no white space"),
        (["user", "add", "\u0430lice"], PASSWORD, "mixes Latin and Cyrillic"),
        (["user", "add", "alice\u202e"], PASSWORD, "invisible"),
        (["user", "add", "bob"], "", "password is missing"),
        (["user", "add", "bob"], "short\n", "at least 12"),
        (["user", "add", "bob"], "bobbobbobbob\n", "too easy"),
        (["user", "add", "bob", "--scopes", 'chat "x"'], PASSWORD, "cannot be a scope"),
        (["user", "add", "bob", "--id", "x" * 300], PASSWORD, "255 characters"),
        (["user", "add", "ALICE"], PASSWORD, "already an account"),
        (["user", "disable", "nobody"], "", "no account named 'nobody'"),
        (["user", "password", "%"], PASSWORD, "no account named '%'"),
        (["user", "delete", "alice"], "", "add --yes"),
        (["token", "--user", "nobody"], "", "no account"),
        (["token", "--user", "alice", "--tenant", "acme"], "", "in the tenant 'acme'"),
        (["token", "--user", "alice", "--scopes", "chat admin"], "", "does not have the scope admin"),
        (["audit", "--since", "yesterday"], "", "is not a time"),
    ],
)
def test_wrong_input_is_one_line_and_changes_nothing(
    todo_file: str, command: Any, arguments: list[str], piped: str, reason: str
):
    added(command, todo_file)
    before = command("user", "list", database_url=todo_file).out
    ended = command(*arguments, piped=piped, database_url=todo_file)
    assert reason in ended.refusal
    assert PASSWORD not in ended.err
    assert command("user", "list", database_url=todo_file).out == before


def test_a_password_is_never_an_argument(todo_file: str, command: Any):
    ended = command("user", "add", "alice", "--password", PASSWORD, database_url=todo_file)
    assert ended.code != 0


@pytest.mark.parametrize(("again", "code"), [(PASSWORD, 0), (OTHER_PASSWORD, 2)])
def test_a_password_is_asked_for_twice(
    todo_file: str, command: Any, monkeypatch: pytest.MonkeyPatch, again: str, code: int
):
    typed = [PASSWORD, again]
    monkeypatch.setattr("getpass.getpass", lambda _prompt: typed.pop(0))
    ended = command("user", "add", "alice", typed="", database_url=todo_file)
    assert (ended.code, typed) == (code, [])
    if code:
        assert ended.refusal == "The two passwords differ. Nothing was changed."


def test_the_first_user_makes_the_database(tmp_path: Any, command: Any):
    url = f"sqlite:///{tmp_path / 'new' / 'chat.db'}"
    added(command, url, arguments=("--tenant", "acme", "--scopes", "chat", "--id", "alice@corp"))
    assert "alice@corp" in command("user", "list", database_url=url).out


def test_erasing_a_person_ends_their_logins_in_redis_too(
    todo_file: str, command: Any, use_database: Callable[..., Any]
):
    user = added(command, todo_file)
    identity = Identity(user)

    def with_redis(work: Callable[[SessionStore], Any]) -> Any:
        async def run() -> Any:
            store = RedisSessions(shared_server())
            try:
                return await work(store)
            finally:
                await store.aclose()

        return asyncio.run(run())

    session = a_session(identity)
    with_redis(lambda store: store.create(session))
    ended = command("erase", user, "--yes", database_url=todo_file, redis_url=shared_server())
    assert ended.code == 0, ended
    assert with_redis(lambda store: store.find(session.token_hash)) is None
    assert use_database(todo_file, lambda database: SqlAccounts(database).find(identity)) is None
    events = command("audit", "--json", database_url=todo_file).out
    assert [json.loads(each)["event"] for each in events.splitlines()] == [
        "user.added", "sessions.ended", "data.erased",
    ]  # fmt: skip


def test_an_export_is_recorded(todo_file: str, command: Any):
    user = added(command, todo_file)
    assert command("export", user, database_url=todo_file).code == 0
    events = [
        json.loads(each) for each in command("audit", "--json", database_url=todo_file).out.splitlines()
    ]
    assert (events[-1]["event"], events[-1]["subject"]) == ("data.exported", f"default/{user}")
    assert command("export", "nobody", database_url=todo_file).code == 1
    assert len(command("audit", "--json", database_url=todo_file).out.splitlines()) == len(events)


def test_redis_that_is_away_is_named_and_hides_nothing_that_was_done(todo_file: str, command: Any):
    added(command, todo_file)
    away = f"redis://127.0.0.1:{free_port()}"
    ended = command("user", "disable", "alice", database_url=todo_file, redis_url=away)
    assert ended.refusal.startswith("BACKCHANNEL_REDIS_URL: ")
    assert "disabled" in command("user", "list", database_url=todo_file).out
    events = command("audit", "--json", database_url=todo_file).out
    assert json.loads(events.splitlines()[-1])["event"] == "user.disabled"
