"""The follower of runs, for the page and for `chatkit-fetch.js`: connections end, break and fall silent, and no event is
lost or repeated."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from playwright.async_api import Browser, Page

from backchannel.sse import parse_heartbeat, silence_limit

pytestmark = [pytest.mark.browser, pytest.mark.row("H3", "C4")]

# `answers` are taken one for each request: a status, "no server", "no answer", or {chunks, headers, stays} for a stream.
SCENE = """async ({ answers, options, closeAfter }) => {
  const { RunFollower } = await import("/page/modules/run-follower.js");
  const calls = [];
  window.calls = calls;
  const encoder = new TextEncoder();
  const open = ({ chunks = [], headers = {}, stays = false }) => {
    const body = new ReadableStream({
      start(controller) {
        window.send = (chunk) => controller.enqueue(encoder.encode(chunk));
        chunks.forEach(window.send);
        if (!stays) controller.close();
      },
      cancel: () => void calls.push("cancelled"),
    });
    return new Response(body, { headers });
  };
  const request = async (after, signal) => {
    calls.push(`after ${after}`);
    const answer = answers.shift();
    if (answer === "no server") throw new TypeError("connection refused");
    if (answer === "no answer") {
      return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    }
    return answer.status ? new Response(answer.status === 204 ? null : "", answer) : open(answer);
  };
  const wait = async (ms) => void calls.push(Math.round(ms));
  Math.random = () => 0;
  const follower = new RunFollower(request, { wait, ...options });
  window.follower = follower;
  const follow = async () => {
    try {
      for await (const batch of follower.batches()) {
        calls.push(batch.map(({ data }) => data).join(""));
        if (calls.includes(closeAfter)) follower.close();
      }
      calls.push(follower.ended ? "ended" : follower.closed ? "closed" : "lost");
    } catch (error) {
      calls.push(error.name);
    }
    return calls;
  };
  window.following = follow();
}"""
DEFAULT_MS = 50_000
END = ": end\n"


def event(number: int, data: str) -> str:
    return f"id: run_1:{number}\ndata: {data}\n\n"


@pytest.fixture(scope="module")
async def timed(browser: Browser, server_url: str) -> AsyncGenerator[Page]:
    """A page whose timers run only as its clock is moved on, in a browser without `AbortSignal.any`."""
    page = await browser.new_page()
    await page.add_init_script("delete AbortSignal.any")
    await page.clock.install()
    await page.goto(server_url)
    await page.clock.pause_at((await page.evaluate("Date.now()")) / 1000 + 60)
    yield page
    await page.close()


async def begin(page: Page, *answers: Any, close_after: str = "", **options: Any) -> None:
    """Follow a run whose requests are answered so."""
    given = [{"status": answer} if isinstance(answer, int) else answer for answer in answers]
    await page.evaluate(SCENE, {"answers": given, "options": options, "closeAfter": close_after})


async def follow(page: Page, *answers: Any, **options: Any) -> list[Any]:
    """Follow a run to its end; gives the requests, waits and events in order."""
    await begin(page, *answers, **options)
    return await page.evaluate("window.following")


async def until(page: Page, *calls: Any) -> None:
    """Wait until these are the last calls."""
    last = "calls => JSON.stringify(window.calls.slice(-calls.length)) === JSON.stringify(calls)"
    await page.wait_for_function(last, arg=list(calls), polling=20)


async def test_a_stream_that_ends_before_its_run_is_resumed_after_the_last_event(timed: Page) -> None:
    calls = await follow(
        timed,
        {"chunks": [event(1, "a"), event(2, "b") + "id: run_1:3\ndata: half"]},
        {"chunks": [event(2, "again") + event(4, "c") + END]},
    )

    assert calls == ["after 0", "a", "b", 400, "after 2", "c", "ended"]


async def test_waits_grow_until_there_is_an_event_again(timed: Page) -> None:
    ping = {"chunks": [": ping\n"]}
    calls = await follow(timed, *[ping] * 7, {"chunks": [event(1, "a")]}, {"chunks": [END]})

    assert [call for call in calls if isinstance(call, int)] == [800, 1600, 3200, 6400, 8000, 8000, 8000, 400]


async def test_the_server_says_how_long_to_wait(timed: Page) -> None:
    calls = await follow(
        timed,
        {"chunks": [event(1, "a") + "retry: 2000\n: reconnect\n"]},
        {"status": 503, "headers": {"Retry-After": "20"}},
        {"status": 503, "headers": {"Retry-After": "3600"}},
        {"status": 429, "headers": {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}},
        {"chunks": [event(2, "b") + "retry: 0\n"]},
        {"chunks": [END]},
    )

    assert [call for call in calls if isinstance(call, int)] == [2000, 20_000, 30_000, 8000, 100]


@pytest.mark.row("K4")
async def test_a_run_that_has_ended_meanwhile_needs_no_stream(timed: Page) -> None:
    calls = await follow(timed, {"chunks": [event(1, "a")]}, {"status": 204})

    assert calls == ["after 0", "a", 400, "after 1", "ended"]


@pytest.mark.parametrize(
    ("answer", "how"), [(404, "lost"), (401, "TypeError"), (403, "TypeError"), (410, "TypeError")]
)
async def test_what_the_server_refuses_is_not_asked_for_again(timed: Page, answer: int, how: str) -> None:
    assert await follow(timed, {"chunks": [event(1, "a")]}, answer) == ["after 0", "a", 400, "after 1", how]


async def test_failures_are_counted_up_to_a_limit(timed: Page) -> None:
    failures = ["no server", 500, 502, 408, 425]
    calls = await follow(timed, *failures, {}, *failures, 504, maxFailures=5)
    assert calls[-1] == "TypeError"
    assert calls.count("after 0") == 12

    calls = await follow(timed, *["no server"] * 30, {"chunks": [END]})
    assert calls[-1] == "ended"


@pytest.mark.row("K11")
@pytest.mark.parametrize(
    ("headers", "limit"),
    [({"X-Heartbeat-Seconds": "0.5"}, 6500), ({"X-Heartbeat-Seconds": "60"}, 185_000), ({}, DEFAULT_MS)],
)
async def test_a_silent_connection_is_given_up_after_three_heartbeats(
    timed: Page, headers: dict[str, str], limit: int
) -> None:
    """the server's heartbeat decides how long the page waits."""
    await begin(timed, {"chunks": [event(1, "a")], "headers": headers, "stays": True}, {"chunks": [END]})
    await until(timed, "a")
    for _ in range(3):
        await timed.clock.run_for(limit - 1)
        await timed.evaluate("window.send(': ping\\n')")
    await timed.clock.run_for(limit - 1)
    assert await timed.evaluate("window.calls") == ["after 0", "a"]

    await timed.clock.run_for(1)

    assert (await timed.evaluate("window.following"))[2:] == ["cancelled", 400, "after 1", "ended"]


@pytest.mark.row("K11")
async def test_the_limit_is_the_same_in_python_and_in_the_page(timed: Page) -> None:
    """one rule for all clients."""
    headers = [
        None,
        "",
        "15",
        "0.5",
        "120",
        "1e-05",
        "3600",
        "3600.5",
        "0",
        "-1",
        "inf",
        "nan",
        "soon",
        "15, 15",
    ]

    limits = await timed.evaluate(
        """async (headers) => {
          const { silenceLimitMs } = await import("/page/modules/run-follower.js");
          return headers.map(silenceLimitMs);
        }""",
        headers,
    )

    assert limits == pytest.approx([silence_limit(parse_heartbeat(header)) * 1000 for header in headers])


async def test_a_server_that_accepts_a_request_and_does_not_answer_is_asked_again(timed: Page) -> None:
    await begin(timed, "no answer", {"chunks": [END]})
    await until(timed, "after 0")

    await timed.clock.run_for(15_000)

    assert await timed.evaluate("window.following") == ["after 0", 800, "after 0", "ended"]


async def test_a_network_that_returns_makes_it_connect_again(timed: Page) -> None:
    await begin(timed, {"chunks": [event(1, "a")], "stays": True}, {"chunks": [END]})
    await until(timed, "a")

    await timed.evaluate("dispatchEvent(new Event('online'))")

    assert (await timed.evaluate("window.following"))[2:] == ["cancelled", 400, "after 1", "ended"]


async def test_closing_ends_it_whatever_it_is_doing(timed: Page) -> None:
    calls = await follow(timed, {"chunks": [event(1, "a")], "stays": True}, close_after="a")
    assert calls == ["after 0", "a", "cancelled", "closed"]

    await begin(timed, {"stays": True})
    await until(timed, "after 0")
    await timed.evaluate("window.follower.close()")
    assert await timed.evaluate("window.following") == ["after 0", "cancelled", "closed"]

    await begin(timed, "no answer")
    await until(timed, "after 0")
    await timed.evaluate("window.follower.close()")
    assert await timed.evaluate("window.following") == ["after 0", "closed"]
