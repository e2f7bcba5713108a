"""Commands and people's files: exported with everything else, erased with their bytes, and looked for by the doctor."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from backchannel.context import Identity
from backchannel.file_stores.locations import open_file_store
from backchannel.files.keys import key_of
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.files import SqlFiles
from people import ADA, OTHERS, a_file

pytestmark = pytest.mark.row("H6", "H6b", "H4")


@pytest.fixture
def files_url(tmp_path: Path) -> str:
    return (tmp_path / "files").as_uri()


async def stored(database: Database, files_url: str, identity: Identity, data: bytes | None) -> str:
    """A file of somebody's, with its bytes if there are any."""
    files, record = SqlFiles(database), a_file(identity)
    await files.add(record, None)
    record = replace(record, version="v1", kind="text", name="naïve/ plan.txt")
    await files.complete(record)
    if data is not None:
        store = open_file_store(files_url)
        await store.put(key_of(record), data, mime_type="text/plain", disposition="attachment")
    return record.id


@pytest.fixture
def ids(todo_file: str, files_url: str, use_database: Callable[..., Any]) -> dict[str, str]:
    """A file of Ada's, one of hers whose bytes are lost, and one of somebody else."""

    async def fill(database: Database) -> dict[str, str]:
        return {
            "hers": await stored(database, files_url, ADA, b"bytes of Ada"),
            "lost": await stored(database, files_url, ADA, None),
            "other": await stored(database, files_url, OTHERS[0], b"bytes of another"),
        }

    return use_database(todo_file, fill)


def on_disk(tmp_path: Path) -> list[bytes]:
    return [path.read_bytes() for path in (tmp_path / "files").rglob("*") if path.is_file()]


def test_an_export_has_the_files(command: Any, todo_file: str, files_url: str, ids: dict[str, str]):
    ended = command("export", "ada", "--output", "ada.zip", database_url=todo_file, files_url=files_url)
    assert ended.code == 0, ended
    with ZipFile("ada.zip") as archive:
        names = [name for name in archive.namelist() if name.startswith("files/")]
        # Its id is in front, and nothing of its name is a path.
        assert [name.split("-")[0] for name in names] == [f"files/{ids['hers']}"]
        assert names[0].count("/") == 1
        assert archive.read(names[0]) == b"bytes of Ada"
        assert json.loads(archive.read("manifest.json"))["missing_files"] == [ids["lost"]]


def test_to_erase_deletes_the_bytes(
    command: Any, todo_file: str, files_url: str, ids: dict[str, str], tmp_path: Path
):
    del ids
    assert len(on_disk(tmp_path)) == 2
    ended = command("erase", "ada", "--yes", database_url=todo_file, files_url=files_url)
    assert ended.code == 0, ended
    assert on_disk(tmp_path) == [b"bytes of another"]


def test_bytes_that_cannot_be_deleted_now_are_deleted_later(
    command: Any, todo_file: str, files_url: str, ids: dict[str, str], tmp_path: Path, use_database: Any
):
    del ids
    gone = "s3://bucket"
    nowhere = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "eu-central-1"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**nowhere, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}.items():
            patch.setenv(name, value)
        ended = command("erase", "ada", "--yes", database_url=todo_file, files_url=gone)
    assert ended.code == 0, ended
    assert "are still there" in ended.err
    assert len(on_disk(tmp_path)) == 2

    async def due(database: Database) -> bool:
        return await SqlFiles(database).has_deletions()

    assert use_database(todo_file, due)


def test_the_doctor_finds_what_only_one_side_knows(
    command: Any, todo_file: str, files_url: str, ids: dict[str, str]
):
    async def add_orphan() -> None:
        store = open_file_store(files_url)
        await store.put("files/00/atc_00/v1", b"x", mime_type="text/plain", disposition="attachment")

    asyncio.run(add_orphan())
    ended = command("doctor", "--json", database_url=todo_file, files_url=files_url)
    found = {each["check"]: each for each in json.loads(ended.out)["findings"]}
    assert found["file store"]["state"] == "ok"
    assert found["orphaned files"]["state"] == "warning"
    assert "1 of 3" in found["orphaned files"]["message"]
    assert "end with atc_00" in found["orphaned files"]["message"]
    assert found["lost files"]["state"] == "problem"
    assert ids["lost"][-8:] in found["lost files"]["message"]
    assert "1 of 3" in found["lost files"]["message"]


def test_the_doctor_asks_the_scanner(command: Any, todo_file: str, files_url: str):
    ended = command(
        "doctor", "--json", database_url=todo_file, files_url=files_url, scanner_url="tcp://127.0.0.1:1"
    )
    found = {each["check"]: each for each in json.loads(ended.out)["findings"]}
    assert found["scanner"]["state"] == "problem"
    assert "BACKCHANNEL_SCANNER_URL" in found["scanner"]["message"]
