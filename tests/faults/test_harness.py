"""The tools of these tests, where nothing fails: without this, what the other tests say means nothing."""

from pathlib import Path

from faults.cluster import running
from faults.model_server import ModelServer, whole
from faults.talker import OutOfOrderError, Person, View, texts
from processes import within


@within(60)
async def test_a_conversation_is_seen_as_it_is_kept(model: ModelServer, tmp_path: Path):
    async with running("sqlite", tmp_path / "one", model, 1) as cluster, Person(cluster.urls) as ada:
        first = await ada.ask("m1: tokens 20 hold m1 at 10")
        await first.until_said(":9 ")
        assert model.of("m1")[0].tokens == 10
        await first.drop()
        model.gate("m1").set()
        await first.finish()
        assert first.connections > 1
        assert whole(first.text, "m1", 20)
        second = await ada.say(
            "m2: call record v then call record_once w & call record x then hand off to helper then say all done",
            first,
        )
        assert len(model.of("m2")) == 4
        assert [len(cluster.ledger("record", value)) for value in "vx"] == [1, 1]
        assert len(cluster.ledger("record_once", "w")) == 1
        third = await ada.say("m3: call ask_page why then say thanks", second)
        await (await ada.answer_tool(third, {"because": 1})).finish()
        assert '{"because": 1}' in model.of("m3")[1].outputs.values()
        kept = await ada.sees_what_is_kept(third)
        assert [item["type"] for item in kept] == [
            *("user_message", "assistant_message", "user_message", "workflow", "assistant_message"),
            *("user_message", "workflow", "client_tool_call", "assistant_message"),
        ]
        assert texts(kept)[-1] == "thanks "


def test_a_view_complains_of_what_it_is_told_twice():
    item = {"id": "m", "type": "assistant_message", "content": [{"text": ""}]}
    view = View()
    view.apply({"type": "thread.item.added", "item": item})
    for event in (
        {"type": "thread.item.added", "item": item},
        {"type": "thread.item.removed", "item_id": "n"},
    ):
        try:
            view.apply(event)
        except OutOfOrderError:
            continue
        raise AssertionError(event)
