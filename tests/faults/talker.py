"""A client that follows the protocol, and notes what a person in front of it would have seen.

It names each request (`Idempotency-Key`) and sends it again, with the same name and to whichever replica, when the
connection fails or the answer is 502, 503 or 504. When a stream closes that did not say that the run has ended, it goes
on after the last event it has, with any replica. Whatever it is told twice, out of order or not at all, it complains about.
"""

import asyncio
import itertools
import json
import secrets
import socket
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import httpx2

from backchannel.client import Remarks
from backchannel.testing import ServerError, parse_events, user_message
from faults.cluster import token_of
from processes import until

TRY_AGAIN = {502, 503, 504}
PAUSE_SECONDS = 0.1
SILENCE_SECONDS = 3
"""A connection on which nothing arrived for so long is dead: heartbeats come every half second."""
PATIENCE_SECONDS = 30
ENDED = {"waiting", "completed", "failed", "cancelled", "interrupted"}
"""States after which a run says nothing more."""

UNKNOWN = "It may or may not have taken effect"
"""What the model is told of a tool that was running when its process died."""


class OutOfOrderError(AssertionError):
    """The client was told something twice, too late, or of something that it does not know."""


class View:
    """What a client shows of a thread: events, folded into items."""

    def __init__(self) -> None:
        self.items: dict[str, dict[str, Any]] = {}
        self.thread: dict[str, Any] = {}
        self._begun: set[str] = set()

    def apply(self, event: dict[str, Any]) -> None:
        """Take in an event."""
        match event["type"]:
            case "thread.created" | "thread.updated":
                self.thread = event["thread"]
            case "thread.item.added":
                item = event["item"]
                self._check(item["id"] not in self.items, event, "begins twice")
                self.items[item["id"]] = item
                self._begun.add(item["id"])
            case "thread.item.updated":
                item = self.items.get(event["item_id"])
                self._check(item is not None and event["item_id"] in self._begun, event, "never began")
                assert item is not None
                _update(item, event["update"])
            case "thread.item.done":
                self._done(event)
            case "thread.item.replaced":
                self._check(event["item"]["id"] in self.items, event, "is not there")
                self.items[event["item"]["id"]] = event["item"]
            case "thread.item.removed":
                self._check(event["item_id"] in self.items, event, "is not there")
                del self.items[event["item_id"]]
                self._begun.discard(event["item_id"])
            case _:
                pass

    def _done(self, event: dict[str, Any]) -> None:
        item = event["item"]
        if item["id"] in self._begun:
            self._begun.discard(item["id"])
            shown = self.items[item["id"]]
            if item["type"] == "assistant_message":
                said, told = _said(shown), _said(item)
                self._check(said == told, event, f"was told as {said[-200:]!r} and is {told[-200:]!r}")
        else:
            # Done without a beginning: all at once. A message of a person, or a workflow that goes on.
            known = self.items.get(item["id"])
            self._check(known is None or known["type"] == "workflow", event, "is told twice")
        self.items[item["id"]] = item

    @property
    def unfinished(self) -> list[str]:
        """Items that have begun and are not done."""
        return [item_id for item_id in self.items if item_id in self._begun]

    @property
    def text(self) -> str:
        """All that the assistant said, up to now."""
        return "".join(_said(item) for item in self.items.values() if item["type"] == "assistant_message")

    @staticmethod
    def _check(holds: bool, event: dict[str, Any], what: str) -> None:
        if not holds:
            raise OutOfOrderError(f"{what}: {json.dumps(event)[:600]}")


def _said(item: dict[str, Any]) -> str:
    return "".join(part["text"] for part in item["content"])


def _update(item: dict[str, Any], update: dict[str, Any]) -> None:
    match update["type"]:
        case "assistant_message.content_part.added" | "assistant_message.content_part.done":
            parts, index = item["content"], update["content_index"]
            parts[index : index + 1] = [update["content"]]
        case "assistant_message.content_part.text_delta":
            item["content"][update["content_index"]]["text"] += update["delta"]
        case "workflow.task.added":
            item["workflow"]["tasks"].insert(update["task_index"], update["task"])
        case "workflow.task.updated":
            item["workflow"]["tasks"][update["task_index"]] = update["task"]
        case _:
            pass


@dataclass
class Answer:
    """One request and what came of it.

    Attributes:
        person: Who asked.
        replicas: The addresses to use, the first one first.
        view: Of the thread, as far as this answer's events say.
        run_id: Of the run, once the request was accepted.
        events: Every event so far.
        errors: The `error` events among them.
        last: The id of the last event.
        connections: How many streams were opened.
        retries: How often the request itself was sent again.
        times: When each event came (`time.monotonic`).
        cuts: How many streams ended before the run did.
        run: How the run stood when it had ended.
    """

    person: "Person"
    replicas: list[str]
    view: View
    run_id: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    last: str = ""
    connections: int = 0
    retries: int = 0
    times: list[float] = field(default_factory=list)
    cuts: int = 0
    run: dict[str, Any] = field(default_factory=dict)
    _response: httpx2.Response | None = None
    _following: AsyncGenerator[dict[str, Any]] | None = None

    @property
    def thread_id(self) -> str:
        """Of the thread that is answered in."""
        return self.view.thread["id"]

    @property
    def text(self) -> str:
        """What the assistant said in this thread as far as this answer's events tell."""
        return self.view.text

    async def until(self, holds: Callable[["Answer"], bool]) -> Self:
        """Follow the answer until something holds."""
        async for _ in self.follow():
            if holds(self):
                return self
        raise AssertionError(f"the answer ended before: {json.dumps(self.events[-3:])[:2000]}")

    async def until_said(self, text: str) -> Self:
        """Follow the answer until the assistant has said this."""
        return await self.until(lambda answer: text in answer.text)

    async def finish(self) -> Self:
        """Follow the answer to its end, over as many connections as it takes."""
        async for _ in self.follow():
            pass
        assert not self.view.unfinished, f"items never ended: {self.view.unfinished}"
        self.run = await self.person.run(self.run_id)
        assert self.run["status"] in ENDED, f"the stream has ended, the run has not: {self.run}"
        return self

    async def drop(self) -> None:
        """Lose the connection. LogTailer goes on with another one."""
        if self._following is not None:
            await self._following.aclose()
            self._following = None
        await self._close()

    def follow(self) -> AsyncGenerator[dict[str, Any]]:
        """The events from here on, over as many connections as it takes."""
        if self._following is None:
            self._following = self._follow()
        return self._following

    async def _follow(self) -> AsyncGenerator[dict[str, Any]]:
        remarks = Remarks()
        while remarks.comment != "end":
            remarks.comment = ""
            async with aclosing(self._stream(remarks)) as stream:
                async for event in stream:
                    yield event

    async def _stream(self, remarks: Remarks) -> AsyncGenerator[dict[str, Any]]:
        """The events of one connection."""
        if self._response is None:
            await self._reopen()
        assert self._response is not None
        try:
            if self._response.status_code == 204:
                remarks.comment = "end"
                return
            async for frame in parse_events(self._response.aiter_bytes(), remarks):
                event = self._take(frame.id, frame.data)
                yield event
            if remarks.comment != "end":
                self.cuts += 1
                await asyncio.sleep(PAUSE_SECONDS)
        except httpx2.TransportError:
            self.cuts += 1
            await asyncio.sleep(PAUSE_SECONDS)
        finally:
            await self._close()

    async def _reopen(self) -> None:
        headers = {"Last-Event-ID": self.last} if self.last else {}
        path = f"/api/chatkit/runs/{self.run_id}/events"
        self._response, _ = await self.person.send("GET", path, self.replicas, headers=headers, stream=True)
        self.connections += 1

    async def _close(self) -> None:
        if self._response is not None:
            await self._response.aclose()
            self._response = None

    def _take(self, event_id: str, data: str) -> dict[str, Any]:
        run_id, _, number = event_id.rpartition(":")
        before = int(self.last.rpartition(":")[2]) if self.last else 0
        if run_id != self.run_id or int(number) <= before:
            raise OutOfOrderError(f"{event_id} after {self.last}: {data[:300]}")
        self.last = event_id
        event = json.loads(data)
        self.events.append(event)
        self.times.append(time.monotonic())
        if event["type"] == "error":
            self.errors.append(event)
        self.view.apply(event)
        return event


class Person:
    """Somebody with a client.

    Args:
        replicas: The addresses that the client knows; the first that answers is used.
        user: Who it is; somebody new by default.
        silence: Seconds of silence after which a connection counts as dead.
        buffer: Bytes that the client's machine takes in of a connection before anybody reads them.
    """

    _numbers = itertools.count(1)

    def __init__(
        self,
        replicas: Sequence[str],
        *,
        user: str | None = None,
        silence: float = SILENCE_SECONDS,
        buffer: int | None = None,
    ) -> None:
        self.replicas = replicas
        self.user = user or f"person-{next(self._numbers)}"
        self._answers: list[Answer] = []
        self.headers = {"Authorization": f"Bearer {token_of(self.user)}"}
        timeout = httpx2.Timeout(silence, connect=silence, pool=PATIENCE_SECONDS)
        self.http = httpx2.AsyncClient(
            headers=self.headers,
            timeout=timeout,
            transport=httpx2.AsyncHTTPTransport(
                # Nothing here is TLS, and loading certificates takes longer than a request.
                verify=False,
                limits=httpx2.Limits(max_connections=None, max_keepalive_connections=0),
                socket_options=[(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)] if buffer else None,
            ),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for answer in self._answers:
            await answer.drop()
        await self.http.aclose()

    async def ask(
        self,
        text: str,
        thread: "str | Answer | None" = None,
        *,
        at: Sequence[str] | None = None,
        key: str | None = None,
    ) -> Answer:
        """Send a message to a new or an old thread; the answer has begun when this returns.

        Raises:
            ServerError: It was refused.
        """
        if thread is None:
            return await self.op("threads.create", {"input": user_message(text)}, at=at, key=key)
        params = {"thread_id": _id(thread), "input": user_message(text)}
        return await self.op("threads.add_user_message", params, thread, at=at, key=key)

    async def say(self, text: str, thread: "str | Answer | None" = None, **options: Any) -> Answer:
        """Send a message and follow the answer to its end."""
        return await (await self.ask(text, thread, **options)).finish()

    async def answer_tool(self, asking: Answer, result: Any, *, at: Sequence[str] | None = None) -> Answer:
        """Give the result of a client tool; the view then shows the call as answered, as pages do."""
        params = {"thread_id": asking.thread_id, "result": result}
        answer = await self.op("threads.add_client_tool_output", params, asking, at=at)
        for item in asking.view.items.values():
            if item["type"] == "client_tool_call" and item["status"] == "pending":
                item |= {"status": "completed", "output": result}
        return answer

    async def op(
        self,
        op: str,
        params: Mapping[str, Any],
        thread: "str | Answer | None" = None,
        *,
        at: Sequence[str] | None = None,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send an op that is answered with a stream."""
        replicas = at or self.replicas
        view = thread.view if isinstance(thread, Answer) else View()
        if isinstance(thread, str):
            view.thread = {"id": thread}
        headers = {"Idempotency-Key": key or secrets.token_hex(8), **(headers or {})}
        body = {"type": op, "params": params}
        response, retries = await self.send(
            "POST", "/api/chatkit", replicas, json=body, headers=headers, stream=True
        )
        answer = Answer(self, list(replicas), view, response.headers["x-run-id"], _response=response)
        answer.retries, answer.connections = retries, 1
        self._answers.append(answer)
        return answer

    def resume(self, run_id: str, at: Sequence[str] | None = None) -> Answer:
        """Follow a run from its beginning."""
        answer = Answer(self, list(at or self.replicas), View(), run_id)
        self._answers.append(answer)
        return answer

    async def request(self, op: str, params: Mapping[str, Any], at: Sequence[str] | None = None) -> Any:
        """Send an op that is answered with JSON and changes nothing."""
        body = {"type": op, "params": params}
        return (await self.send("POST", "/api/chatkit", at or self.replicas, json=body))[0].json()

    async def run(self, run_id: str, at: Sequence[str] | None = None) -> dict[str, Any]:
        """How a run stands."""
        return (await self.send("GET", f"/api/chatkit/runs/{run_id}", at or self.replicas))[0].json()

    async def run_is(self, run_id: str, *statuses: str, seconds: float = PATIENCE_SECONDS) -> dict[str, Any]:
        """Wait until a run stands so."""
        run: dict[str, Any] = {}

        async def is_so() -> bool:
            nonlocal run
            run = await self.run(run_id)
            return run["status"] in statuses

        await until(is_so, f"{run_id} is {' or '.join(statuses)}", seconds)
        return run

    async def runs(self, thread: "str | Answer", *, active: bool = False) -> list[dict[str, Any]]:
        """The runs of a thread, the newest first."""
        query = "?status=active" if active else ""
        path = f"/api/chatkit/threads/{_id(thread)}/runs{query}"
        return (await self.send("GET", path, self.replicas))[0].json()["data"]

    async def stop(self, run_id: str, at: Sequence[str] | None = None) -> dict[str, Any]:
        """Stop a run."""
        return (await self.send("POST", f"/api/chatkit/runs/{run_id}/cancel", at or self.replicas))[0].json()

    async def items(self, thread: "str | Answer", at: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """All items of a thread as they are kept, the oldest first."""
        items, after = list[dict[str, Any]](), None
        while True:
            params = {"thread_id": _id(thread), "order": "asc", "limit": 100}
            page = await self.request("items.list", params | ({"after": after} if after else {}), at)
            items += page["data"]
            after = page.get("after")
            if not page["has_more"]:
                return items

    async def sees_what_is_kept(self, *answers: Answer) -> list[dict[str, Any]]:
        """Make sure that what the answers' events came to is what is kept of their thread, which is returned."""
        kept = await self.items(answers[0])
        seen = {item_id: item for answer in answers for item_id, item in answer.view.items.items()}
        assert sorted(seen) == sorted(item["id"] for item in kept), _difference(seen, kept)
        for item in kept:
            assert seen[item["id"]] == item, f"seen: {json.dumps(seen[item['id']])}; kept: {json.dumps(item)}"
        return kept

    async def adds_up_plainly(self, answer: Answer) -> None:
        """Make sure that the text deltas of a run that has ended, in the words of the plain API, come to the complete
        messages. (`View` makes sure of it for ChatKit's.)"""
        path = f"/api/chatkit/runs/{answer.run_id}/events?format=plain"
        response, _ = await self.send("GET", path, answer.replicas)
        texts: dict[str, str] = {}
        async for frame in parse_events(_once(response.content)):
            event = json.loads(frame.data)
            match event["type"]:
                case "conversation.item.created":
                    texts[event["item"]["id"]] = ""
                case "conversation.item.deleted":
                    texts.pop(event["item_id"], None)
                case "conversation.item.updated" if event["delta"]["type"] == "text":
                    texts[event["item_id"]] += event["delta"]["text"]
                case "conversation.item.completed" if event["item"]["type"] == "assistant_message":
                    told, said = texts.pop(event["item"]["id"], None), _said(event["item"])
                    if told not in {None, said}:
                        raise OutOfOrderError(f"{answer.run_id}: {told!r} was told plainly of {said!r}")
                case _:
                    pass

    async def send(
        self,
        method: str,
        path: str,
        replicas: Sequence[str],
        *,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        stream: bool = False,
    ) -> tuple[httpx2.Response, int]:
        """Send a request until one of the replicas has answered it; the answer, and how often it was sent again.

        Raises:
            ServerError: It was refused for good.
        """
        end = time.monotonic() + PATIENCE_SECONDS
        problem: object = None
        for attempt, replica in enumerate(itertools.cycle(replicas)):
            assert time.monotonic() < end, f"{method} {path} was not answered: {problem!r}"
            request = self.http.build_request(method, replica + path, json=json, headers=headers)
            try:
                response = await self.http.send(request, stream=True)
                if response.is_success and stream:
                    return response, attempt
                await response.aread()
                await response.aclose()
            except httpx2.TransportError as error:
                problem = error
            else:
                if response.is_success:
                    return response, attempt
                refusal = ServerError(response.status_code, _body(response))
                if response.status_code not in TRY_AGAIN:
                    raise refusal
                problem = refusal
            if (attempt + 1) % len(replicas) == 0:
                await asyncio.sleep(PAUSE_SECONDS)
        raise AssertionError


def texts(items: Sequence[dict[str, Any]]) -> list[str]:
    """What the messages among items say, whoever said it."""
    return [_said(item) for item in items if item["type"] in {"user_message", "assistant_message"}]


async def _once(data: bytes) -> AsyncGenerator[bytes]:
    yield data


def _id(thread: str | Answer) -> str:
    return thread if isinstance(thread, str) else thread.thread_id


def _body(response: httpx2.Response) -> Mapping[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _difference(seen: Mapping[str, Any], kept: Sequence[dict[str, Any]]) -> str:
    ids = {item["id"] for item in kept}
    only_seen = [item for item_id, item in seen.items() if item_id not in ids]
    only_kept = [item for item in kept if item["id"] not in seen]
    return f"only seen: {json.dumps(only_seen)[:1500]}; only kept: {json.dumps(only_kept)[:1500]}"
