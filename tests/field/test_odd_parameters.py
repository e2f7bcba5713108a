"""Parameters that no client of one's own would send: each is refused with 4xx, on every database, and changes nothing."""

import json
from typing import Any

import httpx2
import pytest
from agents import Agent

from backchannel.testing import Say, ScriptedModel, user_message
from backchannel.todo import assistant

HUGE = "9" * 19
"""Does not fit a 64-bit integer."""

NUMBERS = ["-1", HUGE, "9" * 400, "1.5", "NaN", "%00", "\u0663"]
IDS = ["x" * 300, "x" * 5000, "%00", "a%00b", "%ED%A0%80", "%F0%9F%98%80" * 30, "%0A%0D", "..%2F..", "%20"]
LAST_EVENT_IDS = [
    b"x",
    b"run_1",
    b"run_1:",
    b"run_1:x",
    b"run_1:-1",
    b":1",
    b"run_1:" + HUGE.encode(),
    b"run_1:" + b"9" * 4000,
    "run_1:\u0663".encode(),
    b"\xff\xfe:1",
    b"run_1%00:1",
    b"run_%FF:1",
    b"42",
    b"thr_1:1",
    b"null",
    b"undefined",
    b"run_1:1, run_1:2",
]

MESSAGES = {
    "/api/chatkit": {"type": "threads.create", "params": {"input": user_message("hi")}},
    "/api/chatkit/stream": {"input": {"type": "user_message", "content": [{"type": "text", "text": "hi"}]}},
}


class Asked:
    """Requests of one person, with those that were not answered as they should be."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http
        self.wrong: list[tuple[str, int, str]] = []

    async def get(self, path: str, expected: range = range(400, 500), **headers: Any) -> None:
        await self.send("GET", path, expected, headers=headers)

    async def send(self, method: str, path: str, expected: range = range(400, 500), **options: Any) -> None:
        response = await self._http.request(method, path, **options)
        body = response.text
        is_error = response.status_code >= 400
        if response.status_code not in expected or (is_error and not json.loads(body)["message"]):
            self.wrong.append((f"{method} {path[:200]} {options}"[:400], response.status_code, body[:300]))


@pytest.mark.row("R9", "A3")
async def test_no_parameter_of_a_route_is_an_error_of_the_server(database_url: str, serve: Any):
    """MagicStack/asyncpg#934, Kinto/kinto#3739, bakape/shamichan#936: numbers that fit no column."""
    served = await serve(Agent(name="A", model=ScriptedModel(Say("hello"))), database_url=database_url)
    stream = await served.person.say("hi")
    events = await stream.events()
    thread = f"/api/chatkit/threads/{events[0]['thread']['id']}"
    run = f"/api/chatkit/runs/{stream.run_id}"
    asked = Asked(served.person.http)
    for number in NUMBERS:
        await asked.get(f"{run}/events?after={number}")
        for path in (
            "/api/chatkit/threads",
            f"{thread}/items",
            f"{thread}/runs",
            "/api/chatkit/threads/search",
        ):
            await asked.get(f"{path}?q=x&limit={number}")
    for each in IDS:
        for path in ("/api/chatkit/runs/{}", "/api/chatkit/runs/{}/events", "/api/chatkit/threads/{}"):
            await asked.get(path.format(each))
        for path in ("items", "runs", "feedback"):
            await asked.get(f"/api/chatkit/threads/{each}/{path}")
        await asked.get(f"/api/chatkit/threads?after={each}")
        await asked.get(f"{thread}/items?after={each}")
        await asked.get(f"/api/chatkit/threads/search?q={each}", range(200, 500))
        await asked.send("DELETE", f"/api/chatkit/threads/{each}")
        await asked.send("PATCH", f"/api/chatkit/threads/{each}", json={"title": "x"})
        await asked.send("POST", f"/api/chatkit/runs/{each}/cancel")
    for name in ("format", "order", "status"):
        for path in (f"{run}/events", f"{thread}/items", f"{thread}/runs"):
            await asked.get(f"{path}?{name}=%00", range(200, 500))
    assert asked.wrong == []
    assert len(await served.items(events[0]["thread"]["id"])) == 2


@pytest.mark.row("R9", "A3")
async def test_no_id_in_an_operation_is_an_error_of_the_server(database_url: str, serve: Any):
    """The same in bodies, where JSON allows more."""
    served = await serve(Agent(name="A", model=ScriptedModel(Say("hello"))), database_url=database_url)
    thread_id, events = await served.create()
    item_id = events[1]["item"]["id"]
    asked = Asked(served.person.http)
    for each in ("x" * 300, "\U0001f600" * 256, "a\x00b", "\n", "", " ", "%s"):
        for type_, params in (
            ("threads.get_by_id", {"thread_id": each}),
            ("threads.update", {"thread_id": each, "title": "t"}),
            ("threads.delete", {"thread_id": each}),
            ("threads.list", {"after": each, "limit": 5}),
            ("items.list", {"thread_id": each}),
            ("items.list", {"thread_id": thread_id, "after": each}),
            ("items.feedback", {"thread_id": thread_id, "item_ids": [each], "kind": "positive"}),
            ("items.feedback", {"thread_id": each, "item_ids": [item_id], "kind": "positive"}),
            ("threads.add_user_message", {"thread_id": each, "input": user_message("x")}),
            ("threads.add_client_tool_output", {"thread_id": each, "result": 1}),
            ("threads.retry_after_item", {"thread_id": thread_id, "item_id": each}),
            ("threads.retry_after_item", {"thread_id": each, "item_id": item_id}),
            ("threads.custom_action", {"thread_id": each, "action": {"type": "a", "payload": None}}),
        ):
            # An empty `after` is none.
            expected = range(200, 500) if params.get("after") == "" else range(400, 500)
            await asked.send("POST", "/api/chatkit", expected, json={"type": type_, "params": params})
        body = {**MESSAGES["/api/chatkit/stream"], "thread": {"id": each}}
        await asked.send("POST", "/api/chatkit/stream", json=body)
    for limit in (-1, 0, 10**19, 10**400, 1.5, "x"):
        for type_, params in (("threads.list", {}), ("items.list", {"thread_id": thread_id})):
            body = json.dumps({"type": type_, "params": {**params, "limit": limit}}).encode()
            headers = {"Content-Type": "application/json"}
            await asked.send("POST", "/api/chatkit", range(200, 500), content=body, headers=headers)
    assert asked.wrong == []
    assert len((await served.person.request("threads.list", {}))["data"]) == 1


@pytest.mark.row("R9", "A3")
async def test_no_parameter_of_the_todos_is_an_error_of_the_server(database_url: str, serve: Any):
    """As above, in routes of an application."""
    served = await serve(assistant, database_url=database_url)
    asked = Asked(served.person.http)
    for name in ("limit", "offset", "priority"):
        await asked.get(f"/api/todos?{name}={HUGE}")
    for path in ("?q=%00", "?status=%00", "?offset=-1", "/%00", f"/{'x' * 300}"):
        await asked.get(f"/api/todos{path}", range(200, 500))
    assert asked.wrong == []


@pytest.mark.row("K8", "R9")
async def test_a_malformed_last_event_id_is_refused_everywhere_and_starts_nothing(serve: Any):
    """modelcontextprotocol/modelcontextprotocol#1939, whatwg/html#8297: what an id that means nothing does was not defined."""
    served = await serve(Agent(name="A", model=ScriptedModel(Say("hello"))))
    stream = await served.person.say("hi")
    await stream.events()
    http = served.person.http
    other = await served.someone()
    for value in LAST_EVENT_IDS:
        headers = [(b"Last-Event-ID", value)]
        got = await http.get(f"/api/chatkit/runs/{stream.run_id}/events", headers=headers)
        # Some are ids of events of other runs.
        assert got.status_code == 422, (value, got.text)
        for path, body in MESSAGES.items():
            got = await http.post(path, json=body, headers=headers)
            assert got.status_code in {404, 422}, (value, got.text)
            assert got.json()["code"] in {"invalid_input", "not_found"}
    for path, body in MESSAGES.items():
        foreign = {"Last-Event-ID": f"{stream.run_id}:1"}
        assert (await other.http.post(path, json=body, headers=foreign)).status_code == 404
        unknown = {"Last-Event-ID": "run_unknown:1"}
        assert (await http.post(path, json=body, headers=unknown)).status_code == 404
    assert len((await served.person.request("threads.list", {}))["data"]) == 1
    assert (await other.request("threads.list", {}))["data"] == []


@pytest.mark.row("K8", "C4")
async def test_last_event_ids_as_clients_change_them_are_understood(serve: Any):
    """Yaffle/EventSource PR#162, dunglas/mercure#613, MatthewWid/better-sse#21: sent as a parameter, because of CORS."""
    served = await serve(Agent(name="A", model=ScriptedModel(Say("hello"))))
    stream = await served.person.say("hi")
    await stream.events()
    path = f"/api/chatkit/runs/{stream.run_id}/events"
    rest = (await served.person.http.get(path, params={"after": 3})).text
    for headers in (
        {"Last-Event-ID": f"{stream.run_id}:3"},
        {"last-event-id": f"{stream.run_id}%3A3"},
        {"LAST-EVENT-ID": f"{stream.run_id}:0003"},
    ):
        assert (await served.person.http.get(path, headers=headers)).text == rest
        for post, body in MESSAGES.items():
            got = await served.person.http.post(post, json=body, headers=headers)
            assert got.headers["x-run-id"] == stream.run_id
    assert (await served.person.http.get(path, params={"lastEventId": f"{stream.run_id}:3"})).text == rest
    whole = (await served.person.http.get(path)).text
    assert (await served.person.http.get(path, headers={"Last-Event-ID": ""})).text == whole
    assert (await served.person.http.get(path, params={"lastEventId": ""})).text == whole
    assert len((await served.person.request("threads.list", {}))["data"]) == 1
