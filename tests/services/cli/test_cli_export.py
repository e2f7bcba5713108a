"""`backchannel export`: one file with everything that is kept of a person, or no file at all."""

import errno
import json
import socket
import stat
import sys
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from sqlalchemy import text

from backchannel.cli.exporting import default_name
from backchannel.cli.new_file import new_file
from backchannel.context import Identity
from backchannel.errors import ConfigurationError
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.migrate import CORE, downgrade, upgrade
from backchannel.stores.sql.personal import PersonalData, owned_tables
from backchannel.todo.tables import MIGRATIONS as TODO
from people import ADA, live, sizes

pytestmark = pytest.mark.row("H6", "H4", "D3")

ELSEWHERE = Identity("ada", tenant="elsewhere")


@pytest.fixture
def url(todo_url: str, use_database: Callable[..., Any]) -> str:
    """The address of a database, of each kind in turn, that keeps things of Ada and of her namesake."""

    async def fill(database: Database) -> None:
        await live(database, ADA, threads=2, messages=3)
        await live(database, ELSEWHERE, todos=0)

    use_database(todo_url, fill)
    return todo_url


@pytest.fixture
def sqlite(todo_file: str, use_database: Callable[..., Any]) -> str:
    """The address of a database file that keeps things of Ada."""

    async def fill(database: Database) -> None:
        await live(database, ADA)

    use_database(todo_file, fill)
    return todo_file


def here() -> list[str]:
    """What is in the working directory."""
    return sorted(path.name for path in Path().iterdir())


def mode(name: str) -> int:
    return stat.S_IMODE(Path(name).stat().st_mode)


def contents(path: Path) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """The manifest of an export, and the rows of each table."""
    with ZipFile(path) as archive:
        assert archive.testzip() is None
        manifest = json.loads(archive.read("manifest.json"))
        names = [name for name in archive.namelist() if name != "manifest.json"]
        assert all(name.endswith(".jsonl") for name in names)
        rows = {
            name.removesuffix(".jsonl"): [json.loads(line) for line in archive.read(name).splitlines()]
            for name in names
        }
    return manifest, rows


def kept(use_database: Callable[..., Any], address: str, identity: Identity) -> dict[str, list[Any]]:
    async def export(database: Database) -> dict[str, list[Any]]:
        person = PersonalData(database, identity, owned_tables(TODO))
        found: dict[str, list[Any]] = {name: [] for name in person.exported}
        async for table, row in person.export():
            found[table].append(row)
        return found

    return use_database(address, export)


def test_the_file_has_everything_that_is_kept(url: str, command: Any, use_database: Any):
    ended = command("export", "ada", "--output", "ada.zip", database_url=url)
    assert ended.code == 0, ended
    assert " to ada.zip: " in ended.out
    assert "threads 2" in ended.out
    manifest, rows = contents(Path("ada.zip"))
    assert rows == kept(use_database, url, ADA)
    assert manifest["tables"] == sizes(rows)
    assert (manifest["user"], manifest["tenant"]) == ("ada", "default")
    assert manifest["exported_at"].endswith("Z")
    assert sizes(rows)["items"] == 12
    assert sizes(rows)["todos"] == 1
    assert mode("ada.zip") == 0o600
    assert here() == ["ada.zip"]


def test_of_the_tenant_that_is_meant(url: str, command: Any, use_database: Any):
    assert command("export", "ada", "--tenant", "elsewhere", "--output", "a.zip", database_url=url).code == 0
    manifest, rows = contents(Path("a.zip"))
    assert manifest["tenant"] == "elsewhere"
    assert rows == kept(use_database, url, ELSEWHERE)
    # A table of which the person has nothing is there, and empty.
    assert rows["todos"] == []


def test_nothing_is_kept(sqlite: str, command: Any):
    ended = command("export", "nobody", database_url=sqlite)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "Nothing is kept of 'nobody' (tenant 'default'). No file was written.\n"
    assert here() == []


def test_a_file_that_is_there_is_left_alone_unless_it_is_meant(sqlite: str, command: Any):
    Path("mine.zip").write_text("mine")
    assert "mine.zip is there already" in command("export", "ada", "--output", "mine.zip").refusal
    assert Path("mine.zip").read_text() == "mine"
    ended = command("export", "nobody", "--output", "mine.zip", "--force", database_url=sqlite)
    assert ended.code == 1
    assert Path("mine.zip").read_text() == "mine"
    ended = command("export", "ada", "--output", "mine.zip", "--force", database_url=sqlite)
    assert ended.code == 0
    assert contents(Path("mine.zip"))[0]["user"] == "ada"
    assert here() == ["mine.zip"]


def test_the_name_of_a_file_is_safe_whatever_the_person_is_called():
    assert default_name("ada").startswith("backchannel-export-ada-")
    for odd in ("../../etc/passwd", "a b\n\u2603", ".hidden", "x" * 255, "\u2603", "a/b\\c:d"):
        name = default_name(odd)
        assert Path(name).name == name
        assert name.startswith("backchannel-export-")
        assert name.isascii()
        assert name.isprintable()
        assert len(name) < 200


def older(use_database: Callable[..., Any], address: str) -> str:
    use_database(address, lambda database: downgrade(database, CORE, "0001"))
    return address


@pytest.mark.parametrize("name", ["export", "erase"])
def test_bad_input_is_one_line_and_changes_nothing(
    name: str, sqlite: str, command: Any, tmp_path: Path, use_database: Any
):
    with socket.create_server(("127.0.0.1", 0)) as closing:
        port = closing.getsockname()[1]
    (tmp_path / "notes.db").write_text("These are my notes. " * 200)
    ask = (name, *(["--yes"] if name == "erase" else []))
    file = "--output" if name == "export" else "--receipt"
    before = sizes(kept(use_database, sqlite, ADA))
    for arguments, address, says in (
        (["ada"], "sqlite:///none.db", "there is no database at none.db"),
        (["ada"], f"sqlite:///{tmp_path / 'notes.db'}", "cannot be used (file is not a database)"),
        (["ada"], f"postgresql://ann:hunter2@127.0.0.1:{port}/db", "the database cannot be used"),
        (["ada"], f"mysql://ann:hunter2@127.0.0.1:{port}/db", "the database cannot be used"),
        (["ada"], "nonsense", "not a database URL"),
        ([""], sqlite, "1 to 255 characters"),
        (["x" * 256], sqlite, "1 to 255 characters"),
        (["a\x00b"], sqlite, "no NUL"),
        (["ada", "--tenant", ""], sqlite, "tenant must have 1 to 255"),
        (["ada", "--tenant", "x" * 256], sqlite, "tenant must have 1 to 255"),
        (["ada", "--target", "nowhere:it"], sqlite, "'nowhere:it'"),
        (["ada", "--target", "json:loads"], sqlite, "loads wants 's'"),
        (["ada", "--target", "os:sep"], sqlite, "The target is a str"),
        (["ada", file, "none/x.zip"], sqlite, "none/x.zip cannot be written (No such file or directory)"),
        (["ada", file, str(tmp_path)], sqlite, "is no file"),
        (["ada", file, "/dev/null/x"], sqlite, "cannot be written (Not a directory)"),
    ):
        refusal = command(*ask, *arguments, database_url=address).refusal
        assert says in refusal, (arguments, address)
        assert "hunter2" not in refusal
        assert here() == [], (arguments, address)
    assert sizes(kept(use_database, sqlite, ADA)) == before
    assert (tmp_path / "notes.db").read_text().startswith("These are my notes.")

    async def damage(database: Database) -> None:
        async with database.write() as connection:
            await connection.execute(text("ALTER TABLE todos RENAME TO dones"))

    use_database(sqlite, damage)
    assert "(no such table: todos)" in command(*ask, "ada", database_url=sqlite).refusal
    refusal = command(*ask, "ada", database_url=older(use_database, sqlite)).refusal
    assert "at version 0001" in refusal
    assert "Run `backchannel db upgrade`." in refusal


def test_tables_of_another_application_are_pointed_at(sqlite: str, command: Any, use_database: Any):
    async def other_tables(database: Database) -> None:
        async with database.write() as connection:
            for name in ("shop_version", "alembic_version"):
                await connection.execute(text(f"CREATE TABLE {name} (version_num VARCHAR(32))"))
            await connection.execute(text("CREATE TABLE my_version (number INTEGER)"))

    use_database(sqlite, other_tables)
    for arguments in (("export", "ada"), ("erase", "ada", "--yes")):
        ended = command(*arguments, database_url=sqlite)
        assert ended.code == 0
        (line,) = ended.err.splitlines()
        assert "the database also has shop tables" in line
        assert "--target" in line


@pytest.mark.parametrize("name", ["export", "erase"])
def test_a_target_whose_tables_are_not_there(
    name: str, tmp_path: Path, command: Any, use_database: Any, monkeypatch: pytest.MonkeyPatch
):
    # The other test of this file has a module of this name in another folder.
    monkeypatch.delitem(sys.modules, "bare_target_of_test", raising=False)
    address = f"sqlite:///{tmp_path / 'bare.db'}"
    use_database(address, upgrade)
    arguments = (name, "ada", *(["--yes"] if name == "erase" else []))
    assert "has no todo tables" in command(*arguments, database_url=address).refusal
    Path("bare_target_of_test.py").write_text("from agents import Agent\nagent = Agent(name='A')\n")
    use_database(address, live_without_todos)
    ended = command(*arguments, "--target", "bare_target_of_test:agent", database_url=address)
    assert ended.code == 0, ended


async def live_without_todos(database: Database) -> None:
    await live(database, ADA, todos=0)


def test_what_fails_halfway_leaves_no_file(sqlite: str, command: Any, monkeypatch: pytest.MonkeyPatch):
    whole = PersonalData.export
    errors: list[BaseException] = []

    async def half(self: PersonalData) -> AsyncGenerator[tuple[str, dict[str, Any]]]:
        count = 0
        async for each in whole(self):
            yield each
            count += 1
            if count == 3:
                # Nothing is there under the file's name yet, and nobody else can read what is.
                (draft,) = here()
                assert draft != "ada.zip"
                assert mode(draft) == 0o600
                raise errors.pop()

    monkeypatch.setattr(PersonalData, "export", half)
    errors.append(OSError(errno.ENOSPC, "No space left on device"))
    refusal = command("export", "ada", "--output", "ada.zip", database_url=sqlite).refusal
    assert refusal == "ada.zip cannot be written (No space left on device)."
    assert here() == []
    errors.append(KeyboardInterrupt())
    assert command("export", "ada", "--output", "ada.zip", database_url=sqlite).code == 130
    assert here() == []


@pytest.mark.usefixtures("command")
@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_a_file_that_comes_meanwhile_is_left_alone(monkeypatch: pytest.MonkeyPatch, links: bool):
    def no_links(*_: Any) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    if not links:
        monkeypatch.setattr(Path, "hardlink_to", no_links)
    path = Path("new.zip")

    def both_write() -> None:
        with new_file(path) as draft:
            draft.file.write(b"ours")
            path.write_text("theirs")

    with pytest.raises(ConfigurationError, match="is there already"):
        both_write()
    assert path.read_text() == "theirs"
    assert here() == ["new.zip"]
    path.unlink()
    with new_file(path) as draft:
        draft.file.write(b"ours")
    assert path.read_text() == "ours"
    assert here() == ["new.zip"]
    path.unlink()
    path.symlink_to("nowhere")
    with pytest.raises(ConfigurationError, match="is there already"), new_file(path):
        pass
    assert path.is_symlink()
