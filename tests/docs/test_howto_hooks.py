"""What docs/howto/listen-to-hooks.md promises (H14)."""

import importlib
import json

import pytest

from backchannel.testing import ServerError

pytestmark = pytest.mark.row("H14")


async def test_first_tokens_are_counted_once_a_run(write_page, serve):
    write_page("listen-to-hooks.md")
    served = await serve("first_tokens:app")
    hook = importlib.import_module("first_tokens").first_tokens
    assert hook.seconds == []
    thread_id, _ = await served.create()
    await (await served.person.say("again", thread_id)).events()
    assert len(hook.seconds) == 2
    assert all(each > 0 for each in hook.seconds)


async def test_the_audit_has_a_line_for_each_run_and_each_refusal_in_order(
    write_page, folder, serve, eventually
):
    write_page("listen-to-hooks.md")
    served = await serve("audit:app")
    thread_id, _ = await served.create()
    with pytest.raises(ServerError):
        await served.person.request("threads.get_by_id", {"thread_id": "thr_none"})
    await (await served.person.say("again", thread_id)).events()
    path = folder / "audit.jsonl"

    def lines():
        return [json.loads(each) for each in path.read_text().splitlines()] if path.exists() else []

    await eventually(lambda: len(lines()) >= 3, "three lines are written")
    seen = [(each["event"], each["status"]) for each in lines()]
    assert seen == [("run_ended", "completed"), ("request_refused", 404), ("run_ended", "completed")]
    assert lines()[1]["path"] == "/api/chatkit"
    assert lines()[1]["code"] == "not_found"
