"""What is stored of a request, so that another process can answer it."""

import json
from dataclasses import replace

import pytest

from backchannel.context import Identity, RequestContext
from backchannel.runs.runs import Runs
from backchannel.runs.stored_request import dump_context, load_context
from backchannel.runs.stores import RunStores
from backchannel.testing import Say, ScriptedModel
from unit.runs.requests import ReaderState, say

pytestmark = pytest.mark.row("D5b", "H1")


@pytest.mark.parametrize("scopes", [{"chat"}, {"*"}, {"admin", "chat", "reports"}, set()])
async def test_a_run_that_goes_on_elsewhere_has_the_same_scopes(
    scopes: set[str], runs: Runs, stores: RunStores, model: ScriptedModel, replay: ReaderState
):
    model.add(Say("hello"))
    ann = Identity("ann", tenant="acme", scopes=frozenset(scopes))
    run_id = await runs.start(say("hi"), RequestContext(ann))
    await replay(run_id)
    record = replace(
        await stores.runs.load(run_id, ann),
        context=dump_context(RequestContext(ann), headers=(), can_stop=True),
    )
    context, _ = load_context(record, {}, lambda _event: None)
    assert context.identity == ann


async def test_a_run_of_before_has_no_admin(
    runs: Runs, stores: RunStores, model: ScriptedModel, replay: ReaderState, ann: RequestContext
):
    model.add(Say("hello"))
    run_id = await runs.start(say("hi"), ann)
    await replay(run_id)
    record = replace(await stores.runs.load(run_id, ann.identity), context=json.dumps({"can_stop": True}))
    context, _ = load_context(record, {}, lambda _event: None)
    assert context.identity.may("chat")
    assert not context.identity.may("admin")
