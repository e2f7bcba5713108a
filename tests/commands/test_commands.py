"""The commands as processes of their own: exit codes, output streams, a real terminal.

What a command does in each case is tested without a process of its own, in `tests/services/cli` and `tests/unit/cli`:
each start of a process costs seconds.
"""

import asyncio
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from zipfile import ZipFile

import pytest

from backchannel.stores.sql.engine import Database
from backchannel.todo.tables import MIGRATIONS as TODO
from databases import database_with_tables
from people import ADA, but_of, everything, live

pytestmark = pytest.mark.row("H4", "D3", "H6")

type Completed = subprocess.CompletedProcess[str]


@pytest.fixture
def database_url(tmp_path: Path) -> Generator[str]:
    """The address of a database file with rows of Ada's."""
    with database_with_tables("sqlite", tmp_path, TODO) as url:
        asyncio.run(_with_database(url, lambda database: live(database, ADA)))
        yield url


async def _with_database[R](url: str, work: Callable[[Database], R]) -> R:
    database = Database(url)
    try:
        return await work(database)
    finally:
        await database.close()


@pytest.fixture
def run(child_environment: dict[str, str], tmp_path: Path) -> Callable[..., Completed]:
    """Runs `backchannel …` in an empty folder."""
    folder = tmp_path / "work"
    folder.mkdir()

    def run(*arguments: str, stdin: int = subprocess.DEVNULL, **settings: str) -> Completed:
        variables = {f"BACKCHANNEL_{name.upper()}": value for name, value in settings.items()}
        return subprocess.run(
            [sys.executable, "-m", "backchannel", *arguments],
            cwd=folder,
            env={**child_environment, **variables},
            stdin=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def test_a_wrong_setting_is_one_line_and_exit_code_2(run: Callable[..., Completed]):
    done = run("serve", "--port", "0", max_turns="many")
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("backchannel: BACKCHANNEL_MAX_TURNS: ")


def test_an_export_is_a_file_in_the_working_directory(
    run: Callable[..., Completed], database_url: str, tmp_path: Path
):
    done = run("export", "ada", database_url=database_url)
    assert done.returncode == 0, done
    (file,) = (tmp_path / "work").iterdir()
    assert file.name.startswith("backchannel-export-ada-20")
    with ZipFile(file) as archive:
        assert len(archive.read("items.jsonl").splitlines()) == 4


def test_erase_asks_at_a_terminal(run: Callable[..., Completed], database_url: str, tmp_path: Path):
    before = asyncio.run(_with_database(database_url, everything))
    ours, theirs = pty.openpty()
    try:
        os.write(ours, b"y\n")
        done = run("erase", "ada", "--receipt", "receipt.json", stdin=theirs, database_url=database_url)
    finally:
        os.close(ours)
        os.close(theirs)
    assert (done.returncode, done.stderr) == (0, ""), done
    assert "It cannot be undone. [y/N]" in done.stdout
    assert asyncio.run(_with_database(database_url, everything)) == but_of(before, ADA)
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["receipt.json"]


def test_help_is_quick(child_environment: dict[str, str]):
    """Neither the SDKs nor the database are loaded to explain a command, or to say that a name is wrong."""
    script = (
        "import sys\nfrom backchannel.cli import main\n"
        "for sys.argv[1:] in (['--help'], ['export', '--help'], ['erase', '--help'], ['db', '--help'],"
        " ['export', ''], ['erase', 'x' * 256]):\n"
        "    try:\n        main()\n    except SystemExit:\n        pass\n"
        "print(sorted({'agents', 'chatkit', 'sqlalchemy', 'fastapi'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=child_environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
