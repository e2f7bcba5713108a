"""The runs of one conversation in their order, with a server whose events the test sends."""

from typing import Any

import pytest
from playwright.async_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.row("H3", "C6")]

SCENE = """async () => {
  const { RunQueue } = await import("/page/modules/run-queue.js");
  const calls = [];
  const encoder = new TextEncoder();
  const streams = {};
  const stream = (id) => {
    const body = new ReadableStream({ start: (controller) => { streams[id] = controller; } });
    return new Response(body, { headers: { "X-Run-Id": id } });
  };
  let next = 0;
  let asks = false;
  const api = { stream: async () => stream(`run_${++next}`), runEvents: async (id) => stream(id) };
  const connectivity = Object.assign(new EventTarget(), { state: "online" });
  const queue = new RunQueue(api, connectivity, {
    started: (run) => calls.push(`started ${run.text}`),
    event: (event) => calls.push(event.type),
    reconnecting: () => {},
    ended: () => { calls.push("ended"); queue.next(); },
    dropped: (run) => calls.push(`dropped ${run.text}: ${run.rejection}`),
    changed: () => {},
    awaitsReply: () => asks,
  });
  const settled = () => new Promise((resolve) => setTimeout(resolve, 20));
  const say = async (id, ...events) => {
    for (const event of events) streams[id].enqueue(encoder.encode(`data: ${JSON.stringify(event)}\\n\\n`));
    await settled();
  };
  const end = async (id) => {
    streams[id].enqueue(encoder.encode(": end\\n"));
    streams[id].close();
    await settled();
  };
  const send = async (text) => queue.start("threads.add_user_message", {}, text, { text, accepted: () => {} });
  const committed = { type: "thread.item.done", item: { type: "user_message" } };
  const queued = { type: "progress_update", icon: "clock" };
  STORY
  return calls;
}"""


async def play(tab: Page, story: str) -> list[Any]:
    return await tab.evaluate(SCENE.replace("STORY", story))


async def test_the_events_of_a_run_come_after_the_end_of_the_one_before_it(tab: Page) -> None:
    # Each has a connection of its own: the first one's end can come later than the beginning of the second.
    calls = await play(
        tab,
        """
        await send("a"); await say("run_1", committed);
        await send("b"); await say("run_2", queued, committed, { type: "second" }); await end("run_2");
        await say("run_1", { type: "first" }); await end("run_1");
        """,
    )

    assert calls == [
        "started a", "thread.item.done", "first", "ended",
        "started b", "progress_update", "thread.item.done", "second", "ended",
    ]  # fmt: skip


async def test_a_message_that_was_never_committed_is_dropped(tab: Page) -> None:
    calls = await play(
        tab,
        """
        await send("a"); await send("b"); await send("c");
        await say("run_2", queued, { type: "error", message: "Withdrawn." }); await end("run_2");
        await end("run_1");
        """,
    )

    assert calls == ["started a", "dropped b: Withdrawn.", "ended", "started c"]


async def test_the_order_is_the_servers(tab: Page) -> None:
    calls = await play(
        tab,
        """
        await send("a"); await send("mine");
        queue.sync([
          { id: "run_3", text: "last" }, { id: "run_2", text: "mine" }, { id: "run_0", text: "theirs" }, { id: "run_1" },
        ]);
        calls.push(queue.queued.map(({ text }) => text));
        await end("run_1"); await end("run_0"); await end("run_2");
        """,
    )

    assert calls == [
        "started a", ["theirs", "mine", "last"], "ended", "started theirs", "ended", "started mine", "ended", "started last"
    ]  # fmt: skip


async def test_a_run_whose_events_are_lost_is_not_requested_again(tab: Page) -> None:
    calls = await play(
        tab,
        """
        queue.sync([{ id: "run_7" }]);
        queue.discardCurrent();
        queue.sync([{ id: "run_7" }]);
        """,
    )

    assert calls == ["started null"]


# RooCodeInc/Roo-Code#11389
@pytest.mark.parametrize(
    ("operation", "order", "ids"),
    [
        ("threads.add_structured_input", ["a", "reply", "b"], ["run_3", "run_2"]),
        ("threads.add_user_message", ["a", "b", "reply"], ["run_2", "run_3"]),
    ],
)
async def test_a_queued_run_waits_for_the_reply_to_a_question(
    tab: Page, operation: str, order: list[str], ids: list[str]
) -> None:
    calls = await play(
        tab,
        f"""
        await send("a"); await send("b"); asks = true; await end("run_1");
        asks = false;
        const text = "reply";
        await queue.start("{operation}", {{}}, text, {{ text, accepted: () => {{}} }});
        for (const id of {ids}) await end(id);
        """,
    )

    assert [call.split()[1] for call in calls if call.startswith("started")] == order


async def test_a_queued_run_begins_when_the_question_was_answered_elsewhere(tab: Page) -> None:
    calls = await play(
        tab,
        """
        await send("a"); await send("b"); asks = true; await end("run_1");
        await say("run_2", queued);
        calls.push("still queued");
        await say("run_2", committed);
        """,
    )

    assert calls == [
        "started a",
        "ended",
        "still queued",
        "started b",
        "progress_update",
        "thread.item.done",
    ]
