"""An answer arrives, whatever happens to the connection or to the server in the meantime."""

import signal
import time
from collections.abc import Callable

import pytest
from anyio import to_thread
from playwright.async_api import Route

from browser.chat_page import ChatPage, OpenPage, event_type, fulfill_frames, real_frames
from browser.line import Line
from browser.own_server import Server
from browser.waiting import expect

pytestmark = [pytest.mark.browser, pytest.mark.row("H3", "C4")]

LONG = "what can you do?"
END_OF_LONG = "delete the second one"
ASKED_SECONDS = 2


async def begin(chat: ChatPage, server: Server) -> None:
    """Ask something and wait until the answer has begun; there it is held back."""
    server.hold_before_word(12)
    await chat.send(LONG)
    await expect(chat.answers).to_contain_text("stand-in")


async def whole_and_once(chat: ChatPage) -> None:
    """The answer is all there, and nothing is there twice."""
    await expect(chat.answers.first).to_contain_text(END_OF_LONG)
    await chat.wait_until_idle()
    await expect(chat.questions.first).to_have_text(LONG)
    assert (await chat.answers.first.inner_text()).count("stand-in") == 1
    await expect(chat.alert).to_have_count(0)


def followed(chat: ChatPage) -> list[str]:
    """What was asked of the events of runs."""
    return [url for url in chat.requests if "/events?" in url]


async def test_an_answer_that_ended_is_not_asked_for_again(chat: ChatPage) -> None:
    await chat.ask(LONG)

    assert followed(chat) == []


async def test_an_orderly_end_between_two_items_is_not_the_end(chat: ChatPage) -> None:
    async def cut(route: Route) -> None:
        frames, headers = await real_frames(route)
        done = [event_type(text) for text in frames].index("thread.item.done/")
        await fulfill_frames(route, frames[: done + 1], headers)

    await chat.on_operation("threads.create", cut)
    await chat.send(LONG)

    await whole_and_once(chat)
    assert len(followed(chat)) == 1


async def test_the_page_waits_as_long_as_the_server_asks(chat: ChatPage) -> None:
    ended = resumed = 0.0

    async def cut(route: Route) -> None:
        nonlocal ended
        frames, headers = await real_frames(route)
        # As a server says it that hands its answers over: no blank line follows.
        last = f"retry: {ASKED_SECONDS * 1000}\n: reconnect"
        await fulfill_frames(route, [*frames[:4], last], headers)
        ended = time.monotonic()

    async def note(route: Route) -> None:
        nonlocal resumed
        resumed = time.monotonic()
        await route.continue_()

    await chat.on_operation("threads.create", cut)
    await chat.page.route("**/runs/*/events?*", note)
    await chat.send(LONG)

    await whole_and_once(chat)
    # Some of the wait is over before this process knows that it has begun.
    assert resumed - ended > ASKED_SECONDS - 0.5


async def test_a_connection_that_breaks_again_and_again(open_page: OpenPage, paused: Server) -> None:
    async with Line(paused.port) as line:
        chat = await open_page(at=line.url)
        await chat.load()
        await begin(chat, paused)
        for word in (24, 36, 48):
            async with chat.page.expect_response("**/runs/*/events?*"):
                line.cut()
            before = await chat.answers.inner_text()
            paused.hold_before_word(word)
            await expect(chat.answers).not_to_have_text(before, use_inner_text=True)
        paused.go_on()

        await whole_and_once(chat)


async def test_a_dead_connection_is_given_up_when_the_network_returns(
    open_page: OpenPage, paused: Server
) -> None:
    async with Line(paused.port) as line:
        chat = await open_page(at=line.url)
        await chat.load()
        await begin(chat, paused)
        line.change_network()
        # As when a laptop changes from one network to another: no connection learns that it is dead.
        online = (
            "value => Object.defineProperty(navigator, 'onLine', { configurable: true, get: () => value })"
        )
        await chat.page.evaluate(online, arg=False)
        await chat.page.evaluate("dispatchEvent(new Event('offline'))")
        await expect(chat.spoken("You are offline")).to_be_visible()
        paused.go_on()

        await chat.page.evaluate(online, arg=True)
        await chat.page.evaluate("dispatchEvent(new Event('online'))")

        await whole_and_once(chat)
        assert len(followed(chat)) == 1


@pytest.mark.row("K11")
async def test_a_connection_that_falls_silent_is_given_up_by_the_servers_heartbeat(
    serve: Callable[..., Server], open_page: OpenPage
) -> None:
    """after three heartbeats and five seconds, not after a number of the page's own."""
    server = serve(heartbeat_seconds="0.2")
    async with Line(server.port) as line:
        chat = await open_page(at=line.url, clock=True)
        await chat.load()
        await begin(chat, server)
        line.change_network()
        server.go_on()

        async with chat.page.expect_response("**/runs/*/events?*"):
            await chat.page.clock.fast_forward(5700)

        await whole_and_once(chat)
        assert len(followed(chat)) == 1


@pytest.mark.parametrize("look", ["light", "dark phone"])
async def test_a_server_that_is_away_is_waited_for(open_page: OpenPage, paused: Server, look: str) -> None:
    async with Line(paused.port) as line:
        chat = await open_page(at=line.url, dark="dark" in look, phone="phone" in look)
        await chat.load()
        await begin(chat, paused)
        await chat.send("find milk")
        await expect(chat.waiting).to_contain_text("Waiting")

        line.down = True
        line.cut()

        status = chat.messages.get_by_role("status").filter(has_text="Reconnecting…")
        await expect(status).to_have_css("opacity", "1")
        await expect(chat.spoken("cannot be reached")).to_be_visible()
        await chat.screenshot(f"reconnecting-{look.replace(' ', '-')}")
        await expect(chat.waiting).to_have_count(1)
        line.down = False
        paused.go_on()
        await expect(chat.questions).to_have_text([LONG, "find milk"])
        await whole_and_once(chat)
        await expect(chat.answers).to_have_count(2)
        await expect(chat.messages).not_to_contain_text("Reconnecting…")


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL], ids=["restart", "crash"])
async def test_an_answer_and_what_waits_survive_the_server(
    serve: Callable[..., Server], open_page: OpenPage, end: signal.Signals
) -> None:
    server = serve(shutdown_seconds="0.1")
    chat = await open_page(at=server.url)
    await chat.load()
    await begin(chat, server)
    await chat.send("find milk")
    await expect(chat.waiting).to_contain_text("Waiting")

    await to_thread.run_sync(server.stop, end)
    await expect(chat.messages).to_contain_text("Reconnecting…")
    await expect(chat.answers).to_contain_text("stand-in")
    server.go_on()
    await to_thread.run_sync(server.start)

    await expect(chat.questions).to_have_text([LONG, "find milk"])
    await whole_and_once(chat)
    await expect(chat.answers).to_have_count(2)
    await expect(chat.waiting).to_have_count(0)


async def test_a_message_sent_to_a_restarting_server_is_sent_again(chat: ChatPage) -> None:
    answers = 0

    async def restart(route: Route) -> None:
        nonlocal answers
        answers += 1
        if answers < 3:
            await route.fulfill(status=503, json={"code": "unavailable", "message": "Restarting."})
        else:
            await route.continue_()

    await chat.on_operation("threads.create", restart)
    await chat.send(LONG)

    await whole_and_once(chat)
    assert answers == 3
