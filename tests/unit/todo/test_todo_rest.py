"""The todos over REST, in an application that knows no more than who is calling."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import text

from backchannel.context import Identity, RequestContext
from backchannel.errors import BackchannelError, UnauthenticatedError
from backchannel.sql import Database
from backchannel.todo.rest import todo_router
from backchannel.todo.service import TodoService

pytestmark = pytest.mark.row("B1", "B2", "B3", "B4")


def application(service: TodoService) -> FastAPI:
    """The router under `/api`; the header `X-User` says who is calling."""
    app = FastAPI()

    async def authenticate(request: Request) -> RequestContext:
        user = request.headers.get("X-User")
        if user is None:
            raise UnauthenticatedError("Log in.")
        return RequestContext(identity=Identity(user), request_id="req_1")

    @app.middleware("http")
    async def add_authenticate(  # pyright: ignore[reportUnusedFunction]
        request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        request.state.backchannel = SimpleNamespace(authenticate=authenticate)
        return await call_next(request)

    @app.exception_handler(BackchannelError)
    async def explain(  # pyright: ignore[reportUnusedFunction]
        _request: Request, error: BackchannelError
    ) -> JSONResponse:
        return JSONResponse(
            {"code": error.code, "message": error.message, "details": error.details}, status_code=error.status
        )

    app.include_router(todo_router(service), prefix="/api")
    return app


@pytest.fixture
async def client(service: TodoService) -> AsyncGenerator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=application(service))
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://test/api", headers={"X-User": "ann"}
    ) as client:
        yield client


async def create(client: httpx2.AsyncClient, title: str = "Buy milk", **fields: Any) -> dict[str, Any]:
    answer = await client.post("/todos", json={"title": title, **fields})
    assert answer.status_code == 201
    return answer.json()


async def test_create_and_read_back(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/todos", json={"title": "Buy milk", "priority": 4, "due_date": "2026-11-23"})
    assert answer.status_code == 201
    todo = answer.json()
    assert todo == {
        "id": todo["id"],
        "title": "Buy milk",
        "description": "",
        "priority": 4,
        "status": "pending",
        "due_date": "2026-11-23",
        "created_at": "2026-11-22T12:00:01Z",
        "updated_at": "2026-11-22T12:00:01Z",
        "completed_at": None,
    }
    assert answer.headers["Location"] == f"/api/todos/{todo['id']}"
    read = await client.get(f"http://test{answer.headers['Location']}")
    assert (read.status_code, read.json()) == (200, todo)


async def test_the_list(client: httpx2.AsyncClient) -> None:
    for number in range(3):
        await create(client, f"Buy milk {number}", priority=number, due_date=f"2026-11-2{number}")
    await create(client, "Call mom")
    answer = (await client.get("/todos")).json()
    assert [todo["title"] for todo in answer.pop("data")] == [
        "Buy milk 0",
        "Buy milk 1",
        "Buy milk 2",
        "Call mom",
    ]
    assert answer == {"total": 4, "limit": 20, "offset": 0, "has_more": False}
    answer = (await client.get("/todos", params={"limit": 2, "offset": 1})).json()
    assert [todo["title"] for todo in answer.pop("data")] == ["Buy milk 1", "Buy milk 2"]
    assert answer == {"total": 4, "limit": 2, "offset": 1, "has_more": True}
    assert not (await client.get("/todos", params={"limit": 2, "offset": 2})).json()["has_more"]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"q": "mlik"}, ["Buy milk"]),
        ({"q": "%"}, []),
        ({"q": ""}, ["Buy milk", "Call mom"]),
        ({"priority": "3"}, ["Call mom"]),
        ({"status": "completed"}, []),
        ({"due_after": "2026-11-23", "due_before": "2026-11-23"}, ["Buy milk"]),
        ({"q": "mom", "priority": "3", "status": "pending"}, ["Call mom"]),
    ],
)
async def test_filters(client: httpx2.AsyncClient, params: dict[str, str], expected: list[str]) -> None:
    await create(client, due_date="2026-11-23")
    await create(client, "Call mom", priority=3)
    answer = (await client.get("/todos", params=params)).json()
    assert [todo["title"] for todo in answer["data"]] == expected
    assert answer["total"] == len(expected)


async def test_change_complete_delete(client: httpx2.AsyncClient) -> None:
    todo = await create(client, description="oat", due_date="2026-11-23")
    path = f"/todos/{todo['id']}"
    changed = (await client.patch(path, json={"title": "Oat milk", "status": "in_progress"})).json()
    assert changed == {
        **todo,
        "title": "Oat milk",
        "status": "in_progress",
        "updated_at": changed["updated_at"],
    }
    assert (await client.patch(path, json={"due_date": None})).json()["due_date"] is None
    for _ in range(2):
        answer = await client.post(f"{path}/complete")
        assert (answer.status_code, answer.json()["status"]) == (200, "completed")
    answer = await client.delete(path)
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await client.get(path)).status_code == 404


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({"title": "x", "priority": 9}, "priority", "priority must be 0 to 5; you gave 9."),
        ({"title": ""}, "title", "title must have 1 to 200 characters; you gave 0."),
        ({}, "title", "title is required."),
        ({"title": "x", "prio": 1}, "prio", 'There is no field "prio".'),
        ([], "", "The input is not acceptable: "),
        (None, "", "A JSON object is required."),
    ],
)
async def test_bodies_that_are_refused(
    client: httpx2.AsyncClient, body: object, field: str, message: str
) -> None:
    answer = await client.post("/todos", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    assert answer.json()["message"].startswith(message)
    assert [detail["field"] for detail in answer.json()["details"]] == [field]
    assert (await client.get("/todos")).json()["total"] == 0


@pytest.mark.parametrize(("content", "status"), [(b"{", 400), (b'{"title": "\\ud800"}', 422), (b"", 422)])
async def test_bodies_that_are_malformed(client: httpx2.AsyncClient, content: bytes, status: int) -> None:
    answer = await client.post("/todos", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert answer.json()["message"].endswith(".")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("limit=0", "limit must be 1 to 100; you gave 0."),
        ("limit=101", "limit must be 1 to 100; you gave 101."),
        ("limit=many", 'limit must be a whole number from 1 to 100; you gave "many".'),
        ("limit=" + "9" * 5000, "limit must be a whole number from 1 to 100; "),
        ("offset=-1", "offset must be 0 to 1000000; you gave -1."),
        ("priority=6", "priority must be 0 to 5; you gave 6."),
        ("status=done", 'status must be pending, in_progress or completed; you gave "done".'),
        ("due_before=friday", "due_before must be a date such as "),
        ("due_after=2026-12-02&due_before=2026-12-01", "due_before (2026-12-01) must not be earlier "),
        ("q=" + "x" * 201, "q must have 0 to 200 characters; you gave 201."),
        ("q=%00", "q must not contain the NUL character."),
        ("page=2", 'There is no field "page".'),
    ],
)
async def test_parameters_that_are_refused(client: httpx2.AsyncClient, query: str, message: str) -> None:
    answer = await client.get(f"/todos?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    assert answer.json()["message"].startswith(message)
    assert len(answer.json()["message"]) < 300


@pytest.mark.parametrize("name", ["title", "priority", "status", "description"])
async def test_a_field_that_cannot_be_removed(client: httpx2.AsyncClient, name: str) -> None:
    todo = await create(client)
    answer = await client.patch(f"/todos/{todo['id']}", json={name: None})
    assert answer.status_code == 422
    assert answer.json()["details"] == [
        {"field": name, "message": f"{name} cannot be null; leave it out to keep it."}
    ]


@pytest.mark.parametrize("todo_id", ["todo_none", "%00", "%ED%A0%80", "%25", "x" * 500])
async def test_no_such_todo(client: httpx2.AsyncClient, todo_id: str) -> None:
    path = f"/todos/{todo_id}"
    for answer in (
        await client.get(path),
        await client.patch(path, json={"title": "x"}),
        await client.post(f"{path}/complete"),
        await client.delete(path),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.row("D5")
async def test_strangers(client: httpx2.AsyncClient) -> None:
    todo = await create(client)
    path = f"/todos/{todo['id']}"
    for headers, status in (({"X-User": "eve"}, 404), ({"X-User": None}, 401)):
        client.headers.pop("X-User", None)
        client.headers.update({name: value for name, value in headers.items() if value})
        assert (await client.get(path)).status_code == status
        assert (await client.patch(path, json={"title": "x"})).status_code == status
        assert (await client.post(f"{path}/complete")).status_code == status
        assert (await client.delete(path)).status_code == status
        listed = await client.get("/todos", params={"q": "milk"})
        assert listed.status_code == (200 if status == 404 else 401)
        assert listed.json().get("total", 0) == 0
    client.headers["X-User"] = "ann"
    assert (await client.get(path)).json() == todo


async def test_too_many_todos(database: Database) -> None:
    transport = httpx2.ASGITransport(app=application(TodoService(database, max_todos=0)))
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://test", headers={"X-User": "ann"}
    ) as client:
        answer = await client.post("/api/todos", json={"title": "x"})
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


async def test_a_database_that_fails(client: httpx2.AsyncClient, database: Database) -> None:
    async with database.write() as connection:
        await connection.execute(text("DROP TABLE todos"))
    answer = await client.get("/todos")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer.json()["message"] == "The todo list cannot be reached right now."


async def test_the_api_is_described(service: TodoService) -> None:
    described = application(service).openapi()
    paths = described["paths"]
    assert {path: sorted(methods) for path, methods in paths.items()} == {
        "/api/todos": ["get", "post"],
        "/api/todos/{todo_id}": ["delete", "get", "patch"],
        "/api/todos/{todo_id}/complete": ["post"],
    }
    for methods in paths.values():
        for operation in methods.values():
            assert operation["description"]
            assert operation["tags"] == ["todos"]
            for status, answer in operation["responses"].items():
                if status >= "4":
                    assert answer["content"]["application/json"]["schema"]["$ref"].endswith("/TodoError")
    assert {parameter["name"] for parameter in paths["/api/todos"]["get"]["parameters"]} == {
        *("status", "priority", "q", "due_after", "due_before", "limit", "offset")
    }
    created = paths["/api/todos"]["post"]["responses"]["201"]
    assert created["content"]["application/json"]["schema"]["$ref"].endswith("/Todo")
    assert "Location" in created["headers"]
    new = described["components"]["schemas"]["NewTodo"]["properties"]
    assert (new["title"]["minLength"], new["title"]["maxLength"]) == (1, 200)
    assert (new["priority"]["minimum"], new["priority"]["maximum"]) == (0, 5)
