"""`backchannel erase`: says what there is, asks, deletes all of it, and gives a receipt."""

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backchannel.cli import erasing
from backchannel.context import Identity
from backchannel.errors import UnavailableError
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.personal import PersonalData
from people import ADA, Rows, but_of, everything, live, of, sizes

pytestmark = pytest.mark.row("H6", "H4", "D3")

BOB = Identity("bob")
ELSEWHERE = Identity("ada", tenant="elsewhere")


async def fill(database: Database) -> None:
    for person in (ADA, BOB, ELSEWHERE):
        await live(database, person, threads=2)


@pytest.fixture
def url(todo_url: str, use_database: Callable[..., Any]) -> str:
    """The address of a database, of each kind in turn, that keeps things of three people."""
    use_database(todo_url, fill)
    return todo_url


@pytest.fixture
def sqlite(todo_file: str, use_database: Callable[..., Any]) -> str:
    """The address of a database file that keeps things of three people."""
    use_database(todo_file, fill)
    return todo_file


@pytest.fixture
def kept(use_database: Callable[..., Any]) -> Callable[[str], Rows]:
    """All that is kept in the database of an address."""
    return lambda address: use_database(address, everything)


def counts_in(said: str) -> dict[str, int]:
    """The numbers of a printed table."""
    cells = [line.split() for line in said.splitlines() if line.startswith("  ")]
    return {name: int(number) for name, number in cells}


def test_all_of_it_is_deleted_and_nothing_of_others(url: str, command: Any, kept: Callable[[str], Rows]):
    before = kept(url)
    ended = command("erase", "ada", "--yes", "--receipt", "receipt.json", database_url=url)
    assert ended.code == 0, ended
    assert kept(url) == but_of(before, ADA)
    there, deleted = ended.out.split("Deleted:")
    assert counts_in(there) == counts_in(deleted) == sizes(of(before, ADA))
    receipt = json.loads(Path("receipt.json").read_text())
    assert receipt["deleted"] == sizes(of(before, ADA))
    assert (receipt["user"], receipt["tenant"], receipt["erased_at"][-1]) == ("ada", "default", "Z")
    assert stat.S_IMODE(Path("receipt.json").stat().st_mode) == 0o600
    again = command("erase", "ada", "--receipt", "second.json", database_url=url)
    assert (again.code, again.out) == (0, "Nothing is kept of 'ada' (tenant 'default').\n")
    assert not any(json.loads(Path("second.json").read_text())["deleted"].values())


def test_of_the_tenant_that_is_meant(sqlite: str, command: Any, kept: Callable[[str], Rows]):
    before = kept(sqlite)
    assert command("erase", "ada", "--tenant", "elsewhere", "--yes", database_url=sqlite).code == 0
    assert kept(sqlite) == but_of(before, ELSEWHERE)


@pytest.mark.parametrize("answer", ["n\n", "\n", "", "yesterday\n"])
def test_without_a_yes_nothing_happens(sqlite: str, command: Any, kept: Callable[[str], Rows], answer: str):
    before = kept(sqlite)
    ended = command("erase", "ada", "--receipt", "receipt.json", database_url=sqlite, typed=answer)
    assert ended.code == 1
    assert ended.out.endswith("Nothing was changed.\n")
    assert counts_in(ended.out.split("Delete all")[0]) == sizes(of(before, ADA))
    assert kept(sqlite) == before
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("answer", ["y\n", " YES \n"])
def test_with_a_yes_it_does(sqlite: str, command: Any, kept: Callable[[str], Rows], answer: str):
    before = kept(sqlite)
    assert command("erase", "ada", database_url=sqlite, typed=answer).code == 0
    assert kept(sqlite) == but_of(before, ADA)


def test_without_a_terminal_it_has_to_be_said_before(sqlite: str, command: Any, kept: Callable[[str], Rows]):
    before = kept(sqlite)
    refusal = command("erase", "ada", "--receipt", "receipt.json", database_url=sqlite).refusal
    assert refusal.startswith("Nothing was changed")
    assert "--yes" in refusal
    assert kept(sqlite) == before
    assert list(Path().iterdir()) == []


def test_a_receipt_that_is_there_already_is_kept_and_nothing_is_deleted(
    sqlite: str, command: Any, kept: Callable[[str], Rows]
):
    before = kept(sqlite)
    Path("receipt.json").write_text("of last year")
    refusal = command("erase", "ada", "--yes", "--receipt", "receipt.json", database_url=sqlite).refusal
    assert "receipt.json is there already" in refusal
    assert Path("receipt.json").read_text() == "of last year"
    assert kept(sqlite) == before


def test_a_database_that_is_lost_halfway_is_said_and_the_rest_can_be_erased(
    sqlite: str, command: Any, kept: Callable[[str], Rows], monkeypatch: pytest.MonkeyPatch
):
    before = kept(sqlite)
    delete = PersonalData._delete_batch

    async def lose(self: PersonalData, *arguments: Any) -> tuple[int, int]:
        if not of(await everything(self.database), ADA)["items"]:
            raise UnavailableError("gone") from ConnectionResetError("reset by peer")
        return await delete(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(PersonalData, "_delete_batch", lose)
        ended = command("erase", "ada", "--yes", "--receipt", "receipt.json", database_url=sqlite)
    assert "(reset by peer)" in ended.refusal
    assert ended.refusal.endswith(erasing.UNFINISHED)
    assert list(Path().iterdir()) == []
    halfway = of(kept(sqlite), ADA)
    assert not halfway["items"]
    assert halfway["threads"]
    ended = command("erase", "ada", "--yes", "--receipt", "receipt.json", database_url=sqlite)
    assert ended.code == 0
    assert json.loads(Path("receipt.json").read_text())["deleted"] == sizes(halfway)
    assert kept(sqlite) == but_of(before, ADA)


def test_ctrl_c_says_that_it_has_to_be_run_again(sqlite: str, command: Any, monkeypatch: pytest.MonkeyPatch):
    async def interrupted(_: PersonalData) -> dict[str, int]:
        raise KeyboardInterrupt

    monkeypatch.setattr(PersonalData, "erase", interrupted)
    ended = command("erase", "ada", "--yes", database_url=sqlite)
    assert (ended.code, ended.err) == (130, f"{erasing.UNFINISHED}\n")


def test_what_is_odd_in_a_name_is_escaped(sqlite: str, command: Any):
    ended = command("erase", "\x1b[2Jada\n", "--yes", database_url=sqlite)
    assert ended.out == "Nothing is kept of '\\x1b[2Jada\\n' (tenant 'default').\n"
