"""Ids that are longer than their column, and numbers of more than 64 bits: the same on all three databases.

MariaDB and PostgreSQL refuse them with an error of their own, which was a 500; SQLite stores the texts.
"""

from dataclasses import replace
from typing import Any

import httpx2
import pytest
from agents import Agent
from chatkit.types import FileAttachment

from backchannel.context import Identity, Usage
from backchannel.errors import InvalidInputError
from backchannel.event_logs.sql import SqlEventLog
from backchannel.ids import new_id
from backchannel.stores.run_store import RunRecord
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.runs import SqlRuns
from backchannel.stores.sql.store import SqlStore
from backchannel.stores.times import utc_now
from backchannel.testing import Say, ScriptedModel
from backchannel.testing.contracts.store import ADA, a_thread, assistant_message

pytestmark = pytest.mark.row("R9")

BEYOND = 10**19
"""More than 64 bits."""


async def test_ids_that_are_too_long_are_refused(database: Database) -> None:
    store = SqlStore(database)
    thread = a_thread(store)
    await store.save_thread(thread, ADA)
    with pytest.raises(InvalidInputError, match="id has 81 characters; at most 80"):
        await store.save_thread(thread.model_copy(update={"id": "x" * 81}), ADA)
    with pytest.raises(InvalidInputError, match="id has 256 characters; at most 255"):
        await store.add_thread_item(thread.id, assistant_message(store, thread, "hi", id="x" * 256), ADA)
    with pytest.raises(InvalidInputError, match="id has 81 characters"):
        await store.save_attachment(FileAttachment(id="x" * 81, name="a", mime_type="b"), ADA)
    # The longest fit, in characters and not in bytes.
    await store.add_thread_item(thread.id, assistant_message(store, thread, "hi", id="😀" * 255), ADA)
    assert (await store.load_item(thread.id, "😀" * 255, ADA)).id == "😀" * 255


async def test_numbers_beyond_64_bits_are_positions_after_the_end(database: Database) -> None:
    """Of a log, each number after the last event means the same."""
    log = SqlEventLog(database, retention=60)
    await log.begin("run_1", Identity("ada"), fence=1)
    for after in (BEYOND, 2**63, 2**63 - 1, 2**53):
        assert (await log.read("run_1", after, wait=0)).frames == ()
    await log.aclose()


async def test_absurd_usage_and_codes_do_not_keep_a_run_from_its_end(database: Database) -> None:
    """Endpoints of models and applications choose them, when the answer is complete."""
    runs, ada = SqlRuns(database), Identity("ada")
    run = RunRecord(
        new_id("run"), ada, "thr_1", "threads.x", "running", utc_now(), replica="rep_1", fence=1, attempt=1
    )
    await runs.insert_running(run)
    await runs.finish(run.id, 1, "failed", "x" * 300, Usage(2**40, BEYOND, -1))
    kept = await runs.load(run.id, ada)
    assert (kept.status, kept.error_code) == ("failed", "x" * 60)
    assert kept.usage == Usage(2**31 - 1, 2**63 - 1, 0)
    with pytest.raises(InvalidInputError, match="thread_id has 256 characters"):
        await runs.insert_running(replace(run, id=new_id("run"), thread_id="x" * 256))
    with pytest.raises(InvalidInputError, match="began_after has 256 characters"):
        await runs.mark_accepted(run.id, 1, "x" * 256)


async def test_numbers_in_requests_are_no_500(serve: Any, database_url: str) -> None:
    served = await serve(Agent(name="A", model=ScriptedModel(Say("Hello"))), database_url=database_url)
    stream = await served.person.say("hello")
    await stream.events()
    http: httpx2.AsyncClient = served.person.http
    for after in (BEYOND, 2**63 - 1, 2**53):
        response = await http.get(f"/api/chatkit/runs/{stream.run_id}/events", params={"after": after})
        assert response.status_code < 500, response.text
