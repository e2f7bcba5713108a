"""What programs send to the plain API, and what they make of the answer."""

import asyncio
import json
from collections.abc import AsyncIterator
from itertools import groupby
from typing import Any

import httpx2
from agents import Agent

from backchannel.testing import Say, ScriptedModel, parse_events

PATH = "/api/chatkit/stream"
TEXT = {"type": "text", "text": "hi"}


def message(text: str = "hi", **thread: Any) -> dict[str, Any]:
    """The body of a request."""
    body: dict[str, Any] = {"input": {"type": "user_message", "content": [{"type": "text", "text": text}]}}
    return {**body, "thread": thread} if thread else body


type ReaderState = list[tuple[str, dict[str, Any]]]
"""Events as ids and data."""


async def told_by(response: httpx2.Response) -> ReaderState:
    """The events of a response, to its end."""
    assert response.status_code == 200, response.text
    events = [event async for event in parse_events(response.aiter_bytes())]
    data = [json.loads(event.data) for event in events]
    assert [event.event for event in events] == [each["type"] for each in data]
    return [(event.id, each) for event, each in zip(events, data, strict=True)]


async def ask(person: Any, body: dict[str, Any], **headers: str) -> tuple[str, ReaderState]:
    """Send a message; the run and all of its events."""
    response = await person.http.post(PATH, json=body, headers=headers)
    return response.headers.get("x-run-id", ""), await told_by(response)


async def events_of(person: Any, run_id: str, last_event_id: str = "", **params: Any) -> ReaderState:
    """The events of a run after one of them."""
    headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
    params = {"format": "plain", **params}
    return await told_by(
        await person.http.get(f"/api/chatkit/runs/{run_id}/events", params=params, headers=headers)
    )


def number(event_id: str) -> int:
    return int(event_id.rpartition(":")[2])


def types(told: ReaderState) -> list[str]:
    """The types of events; how a text is cut into pieces says nothing."""
    return [kind for kind, _ in groupby(data["type"] for _, data in told)]


def words(told: ReaderState) -> str:
    return "".join(data["delta"].get("text", "") for _, data in told if "delta" in data)


def without_text(told: ReaderState) -> ReaderState:
    """All but the text deltas, which may come joined."""
    return [each for each in told if each[1].get("delta", {}).get("type") != "text"]


def said(**input_: Any) -> dict[str, Any]:
    return {"input": {**message()["input"], **input_}}


async def read(body: bytes) -> list[tuple[str, str, str]]:
    """Id, type and data of the events of a whole stream."""

    async def chunks() -> AsyncIterator[bytes]:
        yield body

    return [(event.id, event.event, event.data) async for event in parse_events(chunks())]


def without_joins(told: ReaderState) -> ReaderState:
    """The events as they come when all of a text is there: each text in one piece, under its last number."""
    joined: ReaderState = []
    for event_id, data in told:
        last = joined[-1][1] if joined else {}
        if data.get("delta", {}).get("type") == "text" and last.get("delta", {}).get("type") == "text":
            text = last["delta"]["text"] + data["delta"]["text"]
            joined[-1] = (event_id, {**data, "delta": {**data["delta"], "text": text}})
        else:
            joined.append((event_id, data))
    return joined


async def read_until_broken(response: httpx2.Response) -> bytes:
    """What arrives of a response that is not complete."""
    received = b""
    try:
        async for chunk in response.aiter_bytes():
            received += chunk
    except httpx2.RemoteProtocolError:
        return received
    raise AssertionError("The response ended like a complete one.")


def held(*deltas: str) -> tuple[Agent[Any], ScriptedModel, asyncio.Event]:
    """An agent whose model waits before its last delta."""
    gate = asyncio.Event()
    model = ScriptedModel(Say(deltas, until=gate))
    return Agent(name="A", model=model), model, gate
