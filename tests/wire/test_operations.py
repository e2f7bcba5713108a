"""What operators and browsers ask for besides chatting: health, documentation, the page, REST (G1, H3, D5)."""

import pytest
from agents import Agent
from sqlalchemy.exc import OperationalError

from backchannel.testing import Say, ScriptedModel


def agent(*steps) -> Agent:
    return Agent(name="A", model=ScriptedModel(*steps))


@pytest.mark.row("G1")
async def test_health_names_each_part_and_the_model(serve):
    served = await serve(agent())
    get = served.person.http.get
    assert (await get("/health/live")).json() == {"status": "ok"}
    assert (await get("/health/ready")).json() == {"status": "ok"}
    for path in ("/health/live", "/health/ready"):
        assert (await served.person.http.head(path)).status_code == 200
    health = (await get("/health")).json()
    assert health["status"] == "ok"
    assert health["checks"]["database"]["status"] == "ok"
    assert health["model"]["offline"] is True
    assert "rule-based" in health["model"]["description"]
    assert "set-cookie" not in (await get("/health")).headers


@pytest.mark.row("G1", "G1b")
async def test_a_broken_file_store_is_said_and_the_server_is_ready(serve, monkeypatch):
    served = await serve(agent())
    get = served.person.http.get
    assert (await get("/health")).json()["checks"]["file_store"]["status"] == "ok"

    async def broken() -> None:
        raise OSError("no such bucket my-secret-bucket")

    monkeypatch.setattr(served.backchannel.parts.attachments.files.store, "check", broken)
    health = await get("/health")
    assert health.json()["checks"]["file_store"] == {"status": "unavailable"}
    assert health.json()["checks"]["event_log"]["status"] == "ok"
    assert "secret" not in health.text
    assert (await get("/health/ready")).status_code == 200


@pytest.mark.row("G1")
async def test_a_broken_database_is_not_ready_but_alive(serve, monkeypatch):
    served = await serve(agent())

    async def broken() -> None:
        raise OperationalError("SELECT 1", {}, Exception("disk gone"))

    monkeypatch.setattr(served.backchannel.database, "check", broken)
    get = served.person.http.get
    assert (await get("/health/live")).status_code == 200
    assert (await get("/health/ready")).status_code == 503
    health = await get("/health")
    assert health.status_code == 503
    assert health.json()["checks"]["database"] == {"status": "unavailable"}
    assert "disk gone" not in health.text


@pytest.mark.row("A2")
async def test_every_response_has_a_request_id(serve):
    served = await serve(agent())
    seen = set()
    for path in ("/", "/health", "/api/chatkit", "/nothing", "/openapi.json", "/page/index.html"):
        response = await served.person.http.get(path)
        seen.add(response.headers["x-request-id"])
    assert len(seen) == 6
    assert all(request_id.startswith("req_") for request_id in seen)


@pytest.mark.row("H3")
async def test_the_page_needs_nothing_but_this_server(serve):
    served = await serve(agent())
    page = await served.person.http.get("/")
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "Backchannel" in page.text


@pytest.mark.row("A1")
async def test_openapi_describes_the_endpoints(serve):
    served = await serve(agent())
    paths = (await served.person.http.get("/openapi.json")).json()["paths"]
    assert {
        "/api/chatkit",
        "/api/chatkit/runs/{run_id}/cancel",
        "/api/chatkit/threads/{thread_id}",
        "/health",
    } <= set(paths)
    ops = paths["/api/chatkit"]["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"][
        "type"
    ]["enum"]
    assert len(ops) == 16


@pytest.mark.row("D4", "D5")
async def test_threads_as_rest(serve):
    served = await serve(agent(Say("a"), Say("b")))
    thread_id, _ = await served.create("first")
    await served.create("second")
    http = served.person.http
    page = (await http.get("/api/chatkit/threads", params={"limit": 1})).json()
    assert set(page) == {"data", "has_more", "after"}
    rest = (await http.get("/api/chatkit/threads", params={"limit": 1, "after": page["after"]})).json()
    assert rest["data"][0]["id"] == thread_id
    assert rest["has_more"] is False
    path = f"/api/chatkit/threads/{thread_id}"
    assert (await http.patch(path, json={"title": "New"})).json()["title"] == "New"
    assert (await http.get(path)).json()["title"] == "New"
    items = (await http.get(f"{path}/items", params={"order": "asc"})).json()["data"]
    assert [item["type"] for item in items] == ["user_message", "assistant_message"]
    stranger = (await served.someone()).http
    for method, url, body in (
        ("GET", path, None),
        ("PATCH", path, {"title": "x"}),
        ("DELETE", path, None),
        ("GET", f"{path}/items", None),
        ("GET", f"{path}/runs", None),
    ):
        assert (await stranger.request(method, url, json=body)).status_code == 404
    for query in ({"limit": 0}, {"limit": 101}, {"limit": "many"}, {"order": "up"}):
        response = await http.get("/api/chatkit/threads", params=query)
        assert (response.status_code, response.json()["code"]) == (422, "invalid_input")
    assert (
        await http.patch(path, content=b"{", headers={"content-type": "application/json"})
    ).status_code == 400
    assert (await http.patch(path, json={"title": ""})).status_code == 422
    assert (await http.delete(path)).status_code == 204
    assert (await http.get(path)).status_code == 404
    assert (await http.delete(path)).status_code == 404
