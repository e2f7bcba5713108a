"""What docs/howto/build-an-application.md promises (H14)."""

import asyncio
import json
import sqlite3
import subprocess
import sys
import zipfile
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

pytestmark = pytest.mark.row("H14")

PAGE = "build-an-application.md"


def answer_of(events):
    return events[-1]["item"]["content"][0]["text"]


async def test_a_tool_knows_the_caller(write_page, serve):
    write_page(PAGE)
    served = await serve("clock:app")
    _, events = await served.create("call what_time")
    assert "UTC, usr_" in answer_of(events)
    page = (await served.person.http.get("/")).text
    assert "What time is it?" in page


async def test_an_offline_model_calls_a_tool_and_answers_with_its_output(write_page, serve):
    write_page(PAGE)
    served = await serve("reception:app")
    thread_id, events = await served.create("When are you open?")
    assert answer_of(events) == "We are open from 9 to 17."
    events = await (await served.person.say("Tell me a joke", thread_id)).events()
    assert "rule-based stand-in" in answer_of(events)


async def test_an_offline_model_gives_way_to_a_configured_one(write_page, serve):
    write_page(PAGE)
    served = await serve(
        "reception:app", model="gpt-none", openai_base_url="http://127.0.0.1:9/", openai_api_key="x"
    )
    _, events = await served.create("When are you open?")
    assert events[-1]["type"] == "error"


async def test_a_table_beside_ours_keeps_each_persons_rows_apart(write_page, serve, folder):
    write_page(PAGE)
    served = await serve("notes:app")
    await served.create()
    put = await served.person.http.put("/api/notes/n1", params={"text": "milk"})
    assert put.status_code == 204, put.text
    assert (await served.person.http.get("/api/notes")).json() == ["milk"]
    other = await served.someone()
    assert (await other.http.get("/api/notes")).json() == []
    with closing(sqlite3.connect(folder / ".backchannel" / "backchannel.db")) as database:
        assert database.execute("SELECT version_num FROM notes_version").fetchall() == [("0001",)]
        assert database.execute("SELECT count(*) FROM notes").fetchone() == (1,)


async def test_an_endpoint_with_a_context_needs_credentials(write_page, serve):
    write_page(PAGE)
    served = await serve("notes:app", auth=("jwt",), jwt_secret="s" * 32)
    async with httpx2.AsyncClient(base_url=served.url) as client:
        assert (await client.get("/api/notes")).status_code == 401


async def test_export_includes_the_table(write_page, serve, folder: Path):
    write_page(PAGE)
    served = await serve("notes:app")
    await served.person.http.put("/api/notes/n1", params={"text": "milk"})
    with closing(sqlite3.connect(folder / ".backchannel" / "backchannel.db")) as database:
        ((user,),) = database.execute("SELECT user_id FROM notes").fetchall()
    command = [
        sys.executable,
        "-m",
        "backchannel",
        "export",
        user,
        "--target",
        "notes:app",
        "--output",
        "a.zip",
    ]
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(folder / "a.zip") as archive:
        (line,) = archive.read("notes.jsonl").decode().splitlines()
    assert json.loads(line)["text"] == "milk"
