"""`chatkit-fetch.js`: OpenAI's element gets answers that survive the connection, and a stop that stops.

The element here is a stand-in that does on the wire what is known of the real one.
"""

import asyncio
import signal
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import Protocol

import pytest
from anyio import to_thread
from playwright.async_api import Browser, Route

from browser.chat_page import ChatPage, fulfill_frames, real_frames
from browser.embedding import Embedded, embedding_site
from browser.line import Line
from browser.own_server import Server
from browser.waiting import expect, quick_time

pytestmark = [pytest.mark.browser, pytest.mark.row("H3", "C4", "C5")]

LONG = "what can you do?"
BEGINNING = "I'm the rule-based stand-in"
END_OF_LONG = "delete the second one"
WAIT_SECONDS = 20


class Embed(Protocol):
    """Opens the embedding page, with a server's address, for a new person; with `clock` for `quick_time`."""

    async def __call__(self, server_url: str, *, clock: bool = False) -> Embedded: ...


@pytest.fixture
def site() -> Generator[str]:
    # Without cookies, each site of this machine is a person of its own.
    with embedding_site() as url:
        yield url


@pytest.fixture
async def embed(browser: Browser, site: str) -> AsyncGenerator[Embed]:
    opened: list[Embedded] = []

    async def open_one(server_url: str, *, clock: bool = False) -> Embedded:
        context = await browser.new_context()
        embedded = Embedded(await context.new_page(), site, server_url)
        if clock:
            await embedded.page.clock.install()
        opened.append(embedded)
        await embedded.load()
        return embedded

    yield open_one
    problems = [problem for embedded in opened for problem in embedded.problems]
    for embedded in opened:
        await embedded.page.context.close()
    assert problems == []


async def begin(embedded: Embedded, server: Server) -> None:
    """Ask something and wait until the answer has begun; there it is held back."""
    server.hold_before_word(12)
    await embedded.send(LONG)
    await expect(embedded.answers.last).to_contain_text(BEGINNING)


async def idle(embedded: Embedded) -> None:
    await expect(embedded.element).to_have_attribute("data-state", "idle")


async def eventually(found: Callable[[], Awaitable[bool]], what: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not await found():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.05)


async def has_status(embedded: Embedded, status: str) -> None:
    async def found() -> bool:
        return (await embedded.run())["status"] == status

    await eventually(found, f"the run is {status}")


async def no_model_calls(server: Server) -> None:
    async def found() -> bool:
        return server.model_calls() == 0

    await eventually(found, "the call of the model is closed")


async def updated(embedded: Embedded) -> None:
    async def found() -> bool:
        return await embedded.state("updates") > 0

    await eventually(found, "the element was told to update itself")


async def kept(embedded: Embedded) -> list[str]:
    """What the server has of the thread's messages."""
    items = (await embedded.ask_server(f"/threads/{await embedded.state('threadId')}/items?order=asc"))[
        "data"
    ]
    return ["".join(part["text"] for part in item["content"]) for item in items if "content" in item]


async def whole_and_once(embedded: Embedded) -> None:
    """The element has seen one stream: every event once, in order, up to the end."""
    await idle(embedded)
    await expect(embedded.answers.last).to_contain_text(END_OF_LONG)
    numbers = [int(event_id.rpartition(":")[2]) for event_id, _ in await embedded.state("events")]
    assert numbers == sorted(set(numbers))
    assert await embedded.state("errors") == []
    assert len(embedded.streams()) == 1
    shown = await embedded.page.get_by_role("article").all_text_contents()
    assert shown == await kept(embedded)


async def test_an_answer_is_streamed_with_what_the_server_needs_to_know(embed: Embed, paused: Server) -> None:
    embedded = await embed(paused.url)
    await begin(embedded, paused)
    # The server lets the element offer its stop button.
    await expect(embedded.element).to_have_attribute("data-can-stop", "true")
    paused.go_on()

    await whole_and_once(embedded)
    (headers,) = embedded.streams()
    assert headers["backchannel-cancel"] == "explicit"
    assert len(headers["idempotency-key"]) >= 16
    assert headers["openai-domain-key"] == "local"
    assert headers["x-from-the-page"] == "yes"
    assert embedded.requests("events") == []
    assert embedded.requests("cancel") == []


async def test_it_can_be_imported_after_the_servers_own_page_was_visited(
    embed: Embed, paused: Server
) -> None:
    embedded = await embed(paused.url)
    # Own pages load modules without asking for the right to; what is kept of that must not be in the way.
    await ChatPage(embedded.page, paused.url).load(paused.url)
    await embedded.load()

    await embedded.send("find milk")

    await expect(embedded.answers).to_have_count(1)


async def test_other_requests_pass_through(embed: Embed, paused: Server) -> None:
    embedded = await embed(paused.url)
    await embedded.send("find milk")
    await expect(embedded.answers).to_have_count(1)
    await idle(embedded)
    await embedded.page.evaluate("chatkit.fetchUpdates()")
    status = await embedded.page.evaluate(
        "async () => (await backchannel.fetch(new URL('/', location.href))).status"
    )

    assert status == 200
    (headers,) = [headers for kind, headers in embedded.posts if kind == "threads.get_by_id"]
    assert "idempotency-key" not in headers
    assert "backchannel-cancel" not in headers


async def test_a_connection_that_breaks_again_and_again(embed: Embed, paused: Server) -> None:
    async with Line(paused.port) as line:
        embedded = await embed(line.url)
        await begin(embedded, paused)
        for word in (24, 36, 48):
            async with embedded.page.expect_response("**/runs/*/events?*"):
                line.cut()
            before = await embedded.answers.last.inner_text()
            paused.hold_before_word(word)
            await expect(embedded.answers.last).not_to_have_text(before, use_inner_text=True)
        paused.go_on()

        await whole_and_once(embedded)
        for request in embedded.requests("events"):
            assert request.headers["x-from-the-page"] == "yes"
            assert "idempotency-key" not in request.headers


@pytest.mark.row("K11")
async def test_a_connection_that_falls_silent_is_given_up_by_the_servers_heartbeat(
    serve: Callable[..., Server], embed: Embed
) -> None:
    """a page of another origin may read the server's heartbeat, too."""
    server = serve(heartbeat_seconds="0.2")
    async with Line(server.port) as line:
        embedded = await embed(line.url)
        await embedded.page.clock.install()
        await begin(embedded, server)
        line.change_network()
        server.go_on()

        async with embedded.page.expect_response("**/runs/*/events?*"):
            await embedded.page.clock.fast_forward(5700)

        await whole_and_once(embedded)


async def test_an_orderly_end_is_not_the_end(embed: Embed, paused: Server) -> None:
    embedded = await embed(paused.url)

    async def cut(route: Route) -> None:
        frames, headers = await real_frames(route)
        allowed = {
            "access-control-allow-origin": route.request.headers["origin"],
            "access-control-expose-headers": "X-Run-Id",
        }
        await fulfill_frames(route, frames[: len(frames) // 2], headers | allowed)

    await embedded.page.route("**/api/chatkit", cut)
    await embedded.send(LONG)

    await whole_and_once(embedded)
    assert len(embedded.requests("events")) == 1


async def test_a_network_that_goes_away_and_returns(embed: Embed, paused: Server) -> None:
    embedded = await embed(paused.url)
    await begin(embedded, paused)
    await embedded.page.context.set_offline(True)
    paused.go_on()
    await has_no_answer_yet(embedded)

    await embedded.page.context.set_offline(False)

    await whole_and_once(embedded)


async def has_no_answer_yet(embedded: Embedded) -> None:
    await expect(embedded.element).to_have_attribute("data-state", "streaming")
    assert END_OF_LONG not in await embedded.answers.last.inner_text()


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL], ids=["restart", "crash"])
async def test_an_answer_survives_the_server(
    serve: Callable[..., Server], embed: Embed, end: signal.Signals
) -> None:
    server = serve(shutdown_seconds="0.1")
    embedded = await embed(server.url)
    await begin(embedded, server)

    await to_thread.run_sync(server.stop, end)
    server.go_on()
    await to_thread.run_sync(server.start)

    await whole_and_once(embedded)


@pytest.mark.row("P3")
async def test_stopping_closes_the_models_call_and_keeps_what_was_said(embed: Embed, paused: Server) -> None:
    embedded = await embed(paused.url)
    await begin(embedded, paused)
    assert paused.model_calls() == 1

    await embedded.stop()

    await idle(embedded)
    await no_model_calls(paused)
    await has_status(embedded, "cancelled")
    said = (await kept(embedded))[1]
    assert said.startswith(BEGINNING)
    assert END_OF_LONG not in said
    # The element shows what was kept, not only what it had got.
    await updated(embedded)
    await expect(embedded.answers).to_have_text([said])
    await expect(embedded.questions).to_have_count(1)
    assert len(embedded.streams()) == 1
    (stop,) = embedded.requests("cancel")
    assert stop.headers["x-from-the-page"] == "yes"


@pytest.mark.row("P3")
async def test_stopping_while_the_message_is_still_on_its_way(embed: Embed, paused: Server) -> None:
    embedded = await embed(paused.url)
    await embedded.send("find milk")
    await expect(embedded.answers).to_have_count(1)
    await idle(embedded)
    on_its_way, may_arrive = asyncio.Event(), asyncio.Event()

    async def slow(route: Route) -> None:
        on_its_way.set()
        await may_arrive.wait()
        await route.continue_()

    paused.hold_before_word(0)
    await embedded.page.route("**/api/chatkit", slow)
    await embedded.send(LONG)
    await on_its_way.wait()
    await embedded.stop()
    await idle(embedded)
    may_arrive.set()

    await has_status(embedded, "cancelled")
    await no_model_calls(paused)


@pytest.mark.row("P3")
async def test_a_stop_that_does_not_get_through_is_sent_again(embed: Embed, paused: Server) -> None:
    embedded = await embed(paused.url, clock=True)
    await begin(embedded, paused)
    lost = 0

    async def lose(route: Route) -> None:
        nonlocal lost
        lost += 1
        await (route.abort("connectionreset") if lost < 3 else route.continue_())

    await embedded.page.route("**/cancel", lose)
    await embedded.stop()

    async with quick_time(embedded.page):
        await has_status(embedded, "cancelled")
    assert lost == 3


@pytest.mark.row("P3")
async def test_leaving_the_page_does_not_stop_the_answer(embed: Embed, paused: Server) -> None:
    embedded = await embed(paused.url)
    await begin(embedded, paused)
    thread_id = await embedded.state("threadId")

    # The stand-in breaks its request off on the way out.
    await embedded.page.goto("about:blank")
    await embedded.load()

    path = f"/threads/{thread_id}/runs"
    assert [run["status"] for run in (await embedded.ask_server(path))["data"]] == ["running"]
    assert paused.model_calls() == 1
    paused.go_on()

    async def completed() -> bool:
        return [run["status"] for run in (await embedded.ask_server(path))["data"]] == ["completed"]

    await eventually(completed, "the answer is made")
    assert embedded.requests("cancel") == []


async def test_an_element_that_is_taken_away_does_not_stop_the_answer(embed: Embed, paused: Server) -> None:
    embedded = await embed(paused.url)
    await begin(embedded, paused)

    await embedded.page.evaluate("() => { chatkit.remove(); chatkit.stop(); }")
    paused.go_on()

    await has_status(embedded, "completed")
    assert embedded.requests("cancel") == []


async def test_a_tab_that_is_not_looked_at_goes_on_where_it_was(embed: Embed, paused: Server) -> None:
    embedded = await embed(paused.url)
    await embedded.page.evaluate("() => { chatkit.pausesWhenHidden = true; }")
    await begin(embedded, paused)
    look = """hidden => {
      Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
      const state = hidden ? "hidden" : "visible";
      Object.defineProperty(document, "visibilityState", { configurable: true, get: () => state });
      document.dispatchEvent(new Event("visibilitychange"));
    }"""

    await embedded.page.evaluate(look, arg=True)
    await expect(embedded.element).to_have_attribute("data-state", "streaming")
    assert (await embedded.run())["status"] == "running"
    await embedded.page.evaluate(look, arg=False)
    paused.go_on()

    await idle(embedded)
    await expect(embedded.answers).to_have_count(1)
    await expect(embedded.answers).to_contain_text(END_OF_LONG)
    await expect(embedded.questions).to_have_count(1)
    first, second = embedded.streams()
    assert second["idempotency-key"] == first["idempotency-key"]
    assert second["last-event-id"]
    assert embedded.requests("cancel") == []


async def test_after_a_reload_the_answer_arrives(embed: Embed, paused: Server) -> None:
    embedded = await embed(paused.url)
    await begin(embedded, paused)
    await embedded.send("find milk")
    await expect(embedded.element).to_have_attribute("data-state", "streaming")

    async def both_there() -> bool:
        runs = (await embedded.ask_server(f"/threads/{await embedded.state('threadId')}/runs"))["data"]
        return [run["status"] for run in runs] == ["queued", "running"]

    await eventually(both_there, "a second message waits")

    await embedded.reload()
    await expect(embedded.questions).to_have_text([LONG])
    paused.go_on()

    await expect(embedded.questions).to_have_text([LONG, "find milk"])
    await expect(embedded.answers).to_have_count(2)
    await expect(embedded.answers.first).to_contain_text(END_OF_LONG)
    shown = await embedded.page.get_by_role("article").all_text_contents()
    assert shown == await kept(embedded)
    await has_status(embedded, "completed")
    # It is told of changes, not of every word.
    await updated(embedded)
    assert await embedded.state("updates") < 10
    assert embedded.requests("cancel") == []


async def test_a_busy_element_is_updated_when_it_has_time(embed: Embed, paused: Server) -> None:
    embedded = await embed(paused.url, clock=True)
    await begin(embedded, paused)
    await embedded.reload()
    await expect(embedded.answers).to_contain_text(BEGINNING)
    await embedded.page.evaluate("() => { chatkit.dataset.state = 'loading'; }")
    paused.go_on()
    await has_status(embedded, "completed")
    async with quick_time(embedded.page):
        await embedded.page.wait_for_function("chatkit.refusals > 5", polling=20)

    await embedded.page.evaluate("() => { chatkit.dataset.state = 'idle'; }")

    await expect(embedded.answers).to_contain_text(END_OF_LONG)


@pytest.mark.row("P5")
async def test_a_message_whose_receipt_was_lost_arrives_once(embed: Embed, paused: Server) -> None:
    embedded = await embed(paused.url)
    lost = 0

    async def lose(route: Route) -> None:
        nonlocal lost
        lost += 1
        if lost == 1:
            await real_frames(route)
            await route.abort("connectionreset")
        else:
            await route.continue_()

    await embedded.page.route("**/api/chatkit", lose)
    await embedded.send("find milk")

    await expect(embedded.answers).to_have_count(1)
    await idle(embedded)
    await expect(embedded.questions).to_have_count(1)
    first, second = embedded.streams()
    assert second["idempotency-key"] == first["idempotency-key"]
    assert len((await embedded.ask_server("/threads"))["data"]) == 1


async def test_saying_the_same_twice_is_not_a_repetition(embed: Embed, paused: Server) -> None:
    embedded = await embed(paused.url)
    for count in (1, 2, 3):
        await embedded.send("find milk")
        await expect(embedded.answers).to_have_count(count)
        await idle(embedded)

    await expect(embedded.questions).to_have_count(3)
    assert len({headers["idempotency-key"] for headers in embedded.streams()}) == 3


async def test_what_can_not_be_followed_is_an_error_and_asked_for_again(embed: Embed, paused: Server) -> None:
    async with Line(paused.port) as line:
        embedded = await embed(line.url)
        await begin(embedded, paused)
        await embedded.page.route("**/events?*", lambda route: route.fulfill(status=401, json={}))
        line.cut()
        paused.go_on()

        await expect(embedded.answers).to_contain_text(END_OF_LONG)
        await idle(embedded)
        await expect(embedded.questions).to_have_count(1)
        first, second = embedded.streams()
        assert second["idempotency-key"] == first["idempotency-key"]
        assert second["last-event-id"]
