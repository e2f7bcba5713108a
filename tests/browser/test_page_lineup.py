"""The runs of one conversation in their order, with a server that speaks as a test tells it to."""

from typing import Any

import pytest
from playwright.async_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.row("H3", "C6")]

SCENE = """async () => {
  const { Lineup } = await import("/page/modules/lineup.js");
  const heard = [];
  const encoder = new TextEncoder();
  const streams = {};
  const stream = (id) => {
    const body = new ReadableStream({ start: (controller) => { streams[id] = controller; } });
    return new Response(body, { headers: { "X-Run-Id": id } });
  };
  let next = 0;
  const api = { stream: async () => stream(`run_${++next}`), runEvents: async (id) => stream(id) };
  const connectivity = Object.assign(new EventTarget(), { state: "online" });
  const lineup = new Lineup(api, connectivity, {
    begins: (turn) => heard.push(`begins ${turn.text}`),
    event: (event) => heard.push(event.type),
    reconnecting: () => {},
    ended: () => { heard.push("ended"); lineup.advance(); },
    dropped: (turn) => heard.push(`dropped ${turn.text}: ${turn.refusal}`),
    changed: () => {},
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
  const send = async (text) => lineup.start("threads.add_user_message", {}, text, { text, accepted: () => {} });
  const taken = { type: "thread.item.done", item: { type: "user_message" } };
  const waits = { type: "progress_update", icon: "clock" };
  STORY
  return heard;
}"""


async def play(tab: Page, story: str) -> list[Any]:
    return await tab.evaluate(SCENE.replace("STORY", story))


async def test_a_run_is_heard_only_when_the_one_before_it_has_ended(tab: Page) -> None:
    # Each has a connection of its own: the first one's end can come later than the beginning of the second.
    heard = await play(
        tab,
        """
        await send("a"); await say("run_1", taken);
        await send("b"); await say("run_2", waits, taken, { type: "second" }); await end("run_2");
        await say("run_1", { type: "first" }); await end("run_1");
        """,
    )

    assert heard == [
        "begins a", "thread.item.done", "first", "ended",
        "begins b", "progress_update", "thread.item.done", "second", "ended",
    ]  # fmt: skip


async def test_a_message_that_was_never_taken_in_is_dropped(tab: Page) -> None:
    heard = await play(
        tab,
        """
        await send("a"); await send("b"); await send("c");
        await say("run_2", waits, { type: "error", message: "Withdrawn." }); await end("run_2");
        await end("run_1");
        """,
    )

    assert heard == ["begins a", "dropped b: Withdrawn.", "ended", "begins c"]


async def test_what_the_server_says_decides_about_the_order(tab: Page) -> None:
    heard = await play(
        tab,
        """
        await send("a"); await send("mine");
        lineup.learn([
          { id: "run_3", text: "last" }, { id: "run_2", text: "mine" }, { id: "run_0", text: "theirs" }, { id: "run_1" },
        ]);
        heard.push(lineup.waiting.map(({ text }) => text));
        await end("run_1"); await end("run_0"); await end("run_2");
        """,
    )

    assert heard == [
        "begins a", ["theirs", "mine", "last"], "ended", "begins theirs", "ended", "begins mine", "ended", "begins last"
    ]  # fmt: skip


async def test_a_run_that_cannot_be_told_about_is_not_asked_for_again_and_again(tab: Page) -> None:
    heard = await play(
        tab,
        """
        lineup.learn([{ id: "run_7" }]);
        lineup.forget();
        lineup.learn([{ id: "run_7" }]);
        """,
    )

    assert heard == ["begins null"]
