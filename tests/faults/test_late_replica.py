"""A replica that was thought dead, whose answers others make by now, wakes up and does not know of it.

What must hold: nothing that it still does for them is kept or seen.
"""

import secrets
from pathlib import Path

import pytest

from faults.cluster import running
from faults.model_server import ModelServer, whole
from faults.talker import Person, texts
from processes import within

LEASE_SECONDS = 2


@pytest.mark.row("H1", "H2")
@pytest.mark.parametrize("kind", ["postgresql+redis", "mariadb"])
@within(60)
async def test_it_changes_nothing_when_it_wakes_up(kind: str, model: ModelServer, tmp_path: Path):
    label = f"m{secrets.token_hex(4)}"
    async with (
        running(kind, tmp_path / "replicas", model, 2, lease_seconds=LEASE_SECONDS) as cluster,
        Person(cluster.urls, silence=1.5) as ada,
    ):
        late, other = cluster.replicas
        answer = await ada.ask(f"{label}: call record {label} then tokens 40 hold {label} at 20")
        await answer.until_said(":19 ")
        waiting = await ada.ask(f"{label}next: tokens 4", answer.thread_id, at=[other.url])
        before = await ada.run(answer.run_id)
        late.process.pause()
        try:
            await model.reached(label, 20, calls=len(model.of(label)) + 1)
            # Opened for both: when it wakes up, all the rest of its own answer is there for it to be said.
            model.gate(label).set()
            ada.replicas = answer.replicas = waiting.replicas = [other.url]
            await answer.finish()
            await waiting.finish()
            assert (answer.errors, answer.run["status"]) == ([], "completed")
            assert answer.run["fence"] > before["fence"]
            kept = await ada.items(answer, at=[other.url])
            assert len(texts(kept)) == 4
        finally:
            late.process.resume()
        # It lives: it takes in and answers what it is asked.
        async with Person([late.url]) as somebody:
            await somebody.say(f"{label}awake: say I am awake")
        for replica in (late, other):
            run = await ada.run(answer.run_id, at=[replica.url])
            # What the late one had used of its model, it books when it wakes up.
            assert run | {"usage": None} == answer.run | {"usage": None}
            assert await ada.items(answer, at=[replica.url]) == kept
            again = await ada.resume(answer.run_id, at=[replica.url]).finish()
            assert again.view.items == {
                item_id: item for item_id, item in answer.view.items.items() if item_id in again.view.items
            }
            assert whole(again.text, label, 40)
        assert whole(answer.text, label, 40)
        await ada.sees_what_is_kept(answer, waiting)
        assert len(cluster.ledger("record", label)) == 1
        last = await ada.say(f"{label}last: say still here", answer.thread_id, at=[late.url])
        assert texts(await ada.items(last))[-1] == "still here "
