"""Clients of other makers read the events of runs over connections that break at every byte."""

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
import requests
from agents import Agent
from playwright.async_api import Browser

from backchannel.plain import EVENTS
from backchannel.testing import Say, ScriptedModel, parse_events
from field.cutter import Cutter

TEXT = ["Two", " lines:\u2028one\u2029two\x85three ", "\x0b\x0c\x1c\x1d\x1e é"]
"""With every character at which `str.splitlines` splits."""

NATIVE = """(path, types) => new Promise((resolve) => {
  const got = [];
  const source = new EventSource(path);
  const take = ({ type, data, lastEventId }) => got.push([lastEventId, type, data]);
  for (const type of ["message", ...types]) if (type !== "error") source.addEventListener(type, take);
  source.onerror = () => source.readyState === EventSource.CLOSED && resolve(got);
})"""

EAGER = """async (path) => {
  // Uses an id from its line on, reconnects after errors only, and takes a stream that ends for complete, as
  // @microsoft/fetch-event-source documents it.
  const got = [];
  let lastEventId = "";
  for (;;) {
    try {
      const headers = { accept: "text/event-stream", ...(lastEventId && { "last-event-id": lastEventId }) };
      const response = await fetch(path, { headers });
      if (response.status === 204) return got;
      const decoder = new TextDecoder();
      const reader = response.body.getReader();
      let rest = "", event = { id: "", type: "message", data: "" };
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return got;
        const lines = (rest + decoder.decode(value, { stream: true })).split("\\n");
        rest = lines.pop();
        for (const line of lines) {
          const value = line.slice(line.indexOf(": ") + 2);
          if (line.startsWith("data: ")) event.data += value;
          else if (line.startsWith("event: ")) event.type = value;
          else if (line.startsWith("id: ")) lastEventId = event.id = value;
          else if (line === "") {
            got.push([event.id, event.type, event.data]);
            event = { id: "", type: "message", data: "" };
          }
        }
      }
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }
}"""

# Browsers open six connections to a server.
ALL = """async ([client, cuts, types]) => {
  const run = eval(client), results = {}, queue = [...cuts];
  const work = async () => {
    while (queue.length > 0) {
      const cut = queue.shift();
      results[cut] = await run("/" + cut, types);
    }
  };
  await Promise.all([1, 2, 3, 4, 5].map(work));
  return results;
}"""


@dataclass
class Recorded:
    """The last events of a run, as its stream and as the events in it."""

    cutter: Cutter
    stream: bytes
    events: list[list[str]]

    @property
    def between_line_ends(self) -> dict[int, int]:
        """The places between the line end of an id and the end of its event, with the event's index."""
        ends = [
            place + 1
            for place in range(len(self.stream))
            if self.stream[place : place + 2] == b"\n\n" and place + 2 <= len(self.stream)
        ]
        return {end: index for index, end in enumerate(ends)}


@pytest.fixture(params=["chatkit", "plain"])
async def recorded(serve: Any, request: pytest.FixtureRequest) -> AsyncGenerator[Recorded]:
    """The events of an ended run from the first text on."""
    served = await serve(Agent(name="A", model=ScriptedModel(Say(TEXT))))
    stream = await served.person.say("hi")
    events = await stream.events()
    first = next(number for number, event in enumerate(events) if event["type"] == "thread.item.updated")
    path = f"/api/chatkit/runs/{stream.run_id}/events"

    async def fetch(last_event_id: str) -> tuple[int, bytes]:
        headers = {"Last-Event-ID": last_event_id or f"{stream.run_id}:{first}"}
        params = {"format": request.param}
        response = await served.person.http.get(path, params=params, headers=headers)
        return response.status_code, response.content

    _, body = await fetch("")

    async def pieces() -> AsyncGenerator[bytes]:
        yield body

    expected = [[event.id, event.event, event.data] async for event in parse_events(pieces())]
    assert any("\\u2028" in data and "\\u2029" in data and "\\u0085" in data for _, _, data in expected)
    async with Cutter(fetch) as cutter:
        yield Recorded(cutter, body, expected)


async def in_browser(
    browser: Browser, recorded: Recorded, client: str, cuts: list[int]
) -> dict[int, list[list[str]]]:
    """What a client gets whose connection breaks at each of some bytes of the stream."""
    page = await browser.new_page()
    await page.goto(recorded.cutter.url)
    results = await page.evaluate(ALL, [client, cuts, list(EVENTS)])
    await page.close()
    return {int(cut): got for cut, got in results.items()}


@pytest.mark.browser
@pytest.mark.row("K1", "K4", "C7", "C4")
async def test_an_event_source_loses_nothing_at_any_byte_and_stops_at_the_end(
    browser: Browser, recorded: Recorded
):
    """EventSource/eventsource#291, NVIDIA-AI-Blueprints/aiq#272: events lost at a reconnection.
    EventSource/eventsource#14, eclipse-ee4j/jersey#6119: clients that reconnected for ever."""
    # It waits before it reconnects: every byte of the last event, and some of the others.
    last_event = sorted(recorded.between_line_ends)[-2]
    cuts = [*range(0, last_event, 50), *range(last_event, len(recorded.stream) + 1)]
    results = await in_browser(browser, recorded, NATIVE, cuts)
    assert {cut for cut, got in results.items() if got != recorded.events} == set()


@pytest.mark.browser
@pytest.mark.row("K1", "C7")
async def test_a_client_that_uses_an_id_before_its_event_is_complete_loses_nothing(
    browser: Browser, recorded: Recorded
):
    """Azure/fetch-event-source, `getMessages`. The one place that no order of lines can avoid is between the two line
    ends after an id."""
    results = await in_browser(browser, recorded, EAGER, list(range(len(recorded.stream) + 1)))
    wrong = {cut: got for cut, got in results.items() if got != recorded.events}
    places = recorded.between_line_ends
    assert set(wrong) <= set(places)
    for cut, got in wrong.items():
        lost = places[cut]
        assert got == recorded.events[:lost] + recorded.events[lost + 1 :]


class Rough:
    """A parser as people write it around `iter_lines`."""

    def __init__(self) -> None:
        self.last_event_id = ""
        self.events: list[list[str]] = []
        self.begin()

    def begin(self) -> None:
        self._event = ["", "message", ""]

    def take(self, line: str) -> None:
        if line.startswith("data: "):
            json.loads(line.removeprefix("data: "))
            self._event[2] = line.removeprefix("data: ")
        elif line.startswith("event: "):
            self._event[1] = line.removeprefix("event: ")
        elif line.startswith("id: "):
            self._event[0] = line.removeprefix("id: ")
        elif not line and self._event[2]:
            self.last_event_id = self._event[0]
            self.events.append(self._event)
            self.begin()


def with_requests(url: str) -> list[list[str]]:
    client = Rough()
    for _ in range(4):
        headers = {"Last-Event-ID": client.last_event_id}
        client.begin()
        try:
            with requests.get(url, headers=headers, stream=True, timeout=10) as response:
                if response.status_code == 204:
                    break
                response.encoding = "utf-8"
                for line in response.iter_lines(decode_unicode=True):
                    client.take(line)
        except requests.exceptions.ChunkedEncodingError:
            continue
        except ValueError:
            # Half of a line, which both libraries give before they raise.
            continue
    return client.events


def with_httpx(url: str) -> list[list[str]]:
    client = Rough()
    with httpx2.Client() as http:
        for _ in range(4):
            headers = {"Last-Event-ID": client.last_event_id}
            client.begin()
            try:
                with http.stream("GET", url, headers=headers) as response:
                    if response.status_code == 204:
                        break
                    for line in response.iter_lines():
                        client.take(line)
            except httpx2.RemoteProtocolError:
                continue
    return client.events


@pytest.mark.row("K1", "K9", "C7")
@pytest.mark.parametrize("library", [with_requests, with_httpx])
async def test_programs_that_read_lines_get_whole_json_at_any_byte(recorded: Recorded, library: Any):
    """modelcontextprotocol/python-sdk#1356, langgenius/dify PR#39008, Soju06/codex-lb#1010, modelscope/evalscope#1638:
    JSON that was cut at U+2028."""
    cuts = [*range(0, len(recorded.stream), 23), len(recorded.stream)]
    wrong = [
        cut
        for cut in cuts
        if await asyncio.to_thread(library, f"{recorded.cutter.url}/{cut}") != recorded.events
    ]
    assert wrong == []
