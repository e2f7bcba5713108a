"""A request that names itself with a key is done once, and can be sent again if it was not done."""

import asyncio
from typing import Any

import pytest

from backchannel.context import RequestContext
from backchannel.errors import ConflictError, NotFoundError
from backchannel.runs.runs import Runs
from backchannel.stores.sql.store import SqlStore
from backchannel.testing import Say, ScriptedModel
from unit.runs.requests import ReaderState, say

pytestmark = pytest.mark.row("A4", "C4")


async def test_a_request_that_names_itself_runs_once(
    runs: Runs, model: ScriptedModel, replay: ReaderState, ann: RequestContext
):
    model.add(Say("hello"))
    first, second = await asyncio.gather(
        runs.start(say("hi"), ann, key="k"), runs.start(say("hi"), ann, key="k")
    )
    assert first == second
    await replay(first)
    assert await runs.start(say("hi"), ann, key="k") == first
    with pytest.raises(ConflictError):
        await runs.start(say("other"), ann, key="k")
    assert len(model.calls) == 1


async def test_a_refused_request_may_use_its_key_again(runs: Runs, model: ScriptedModel, ann: RequestContext):
    with pytest.raises(NotFoundError):
        await runs.start(say("hi", "thr_unknown"), ann, key="k")
    model.add(Say("hello"))
    assert await runs.start(say("hi"), ann, key="k")


async def test_a_request_that_failed_before_it_was_accepted_may_use_its_key_again(
    runs: Runs,
    model: ScriptedModel,
    replay: ReaderState,
    ann: RequestContext,
    store: SqlStore,
    monkeypatch: pytest.MonkeyPatch,
):
    """A database that is locked for a moment: the repeated request must not be taken for done."""

    async def locked(*_: Any) -> None:
        raise OSError("database is locked")

    with monkeypatch.context() as patch:
        patch.setattr(store, "save_thread", locked)
        with pytest.raises(OSError, match="locked"):
            await runs.start(say("hi"), ann, key="k")
    model.add(Say("hello"))
    events = await replay(await runs.start(say("hi"), ann, key="k"))
    assert [event["type"] for event in events[:1]] == ["thread.created"]
