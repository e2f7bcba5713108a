"""The page's parser for server-sent events, run in the page and fed what connections really deliver."""

from typing import Any

import pytest
from playwright.async_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.row("H3")]

PARSE = """async ({ bytes, sizes }) => {
  const { SseParser } = await import("/page/modules/sse.js");
  const runs = sizes.map((size) => {
    const events = [];
    const parser = new SseParser((event) => events.push([event.type, event.data, event.id, event.numbered]));
    const all = new Uint8Array(bytes);
    for (let at = 0; at < all.length; at += size) parser.push(all.subarray(at, at + size));
    parser.end();
    return events;
  });
  return runs;
}"""


async def parse(tab: Page, stream: str | bytes) -> list[list[Any]]:
    """The events of a stream, which must be the same however it is cut into chunks."""
    data = stream if isinstance(stream, bytes) else stream.encode()
    runs: list[list[list[Any]]] = await tab.evaluate(
        PARSE, {"bytes": list(data), "sizes": [1, 2, 3, 5, 7, 1000]}
    )
    for run in runs:
        assert run == runs[0]
    return runs[0]


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"], ids=["LF", "CR", "CRLF"])
async def test_all_line_ends(tab: Page, end: str) -> None:
    stream = f"id: 1{end}data: a{end}data: b{end}{end}data: c{end}{end}"

    assert await parse(tab, stream) == [
        ["message", "a\nb", "1", True],
        ["message", "c", "1", False],
    ]


async def test_characters_cut_in_the_middle(tab: Page) -> None:
    assert await parse(tab, "data: Grüße 牛奶 👩‍👩‍👧\n\n") == [["message", "Grüße 牛奶 👩‍👩‍👧", "", False]]


async def test_comments_fields_and_spaces(tab: Page) -> None:
    stream = (
        ": ping\n\n: ping\n\n"
        "event: greeting\ndata:no space\nunknown: x\ndata:  two spaces\n\n"
        "data\n\n"
        "data:\ndata:\n\n"
        "event: lost without data\n\n"
        "data: plain again\n\n"
    )

    assert await parse(tab, stream) == [
        ["greeting", "no space\n two spaces", "", False],
        ["message", "", "", False],
        ["message", "\n", "", False],
        ["message", "plain again", "", False],
    ]


async def test_comments_are_heard_apart(tab: Page) -> None:
    said = await tab.evaluate(
        r"""async () => {
          const { SseParser } = await import("/page/modules/sse.js");
          const said = [];
          const parser = new SseParser((event) => said.push(event.data), (comment) => said.push([comment]));
          const stream = ": ping\n:end\ndata: a\n: end\n:\n:  two: words\r\ndata: b\n\nretry: 250\n: reconnect\n: cut";
          parser.push(new TextEncoder().encode(stream));
          parser.end();
          return [...said, parser.retry];
        }"""
    )

    # A comment belongs to no event, takes nothing from one, and is one only when its line has ended.
    assert said == [["ping"], ["end"], ["end"], [""], [" two: words"], "a\nb", ["reconnect"], 250]


async def test_identities(tab: Page) -> None:
    stream = "id: run_1:1\ndata: a\n\ndata: b\n\nid: bad\0one\ndata: c\n\nid\ndata: d\n\nid: run_1:2\n\ndata: e\n\n"

    assert await parse(tab, stream) == [
        ["message", "a", "run_1:1", True],
        ["message", "b", "run_1:1", False],
        ["message", "c", "run_1:1", False],
        ["message", "d", "", True],
        ["message", "e", "run_1:2", False],
    ]


async def test_a_byte_order_mark_is_skipped_and_an_unfinished_event_dropped(tab: Page) -> None:
    assert await parse(tab, b"\xef\xbb\xbfdata: a\n\ndata: never finished\n") == [["message", "a", "", False]]


async def test_bytes_that_are_not_utf8_do_not_end_the_stream(tab: Page) -> None:
    assert await parse(tab, b"data: a\xff\xfeb\n\ndata: c\n\n") == [
        ["message", "a\ufffd\ufffdb", "", False],
        ["message", "c", "", False],
    ]
