"""Which pages may act for a person, over HTTP; and that nothing of a browser's credentials reaches tools."""

from typing import Any

import pytest
from agents import Agent, function_tool
from agents.tool_context import ToolContext
from starlette.requests import HTTPConnection

from backchannel import Application, Identity
from backchannel.authenticators.host import HostAuthenticator
from backchannel.testing import Call, Say, ScriptedModel, user_message
from wire.test_identity import CREATE, LIST, SECRET, agent, token

EVIL = "https://evil.example"


def identify(request: HTTPConnection) -> Identity | None:
    return Identity("ann") if request.cookies.get("host_session") == "ann" else None


@pytest.mark.row("F4", "F6")
async def test_an_identity_of_the_host_cannot_be_used_by_other_sites(serve: Any) -> None:
    application = Application(agent=agent(Say("hi"), Say("hi")), authenticators=[HostAuthenticator(identify)])
    served = await serve(application)
    http = served.person.http
    cookie = {"cookie": "host_session=ann"}
    assert (await http.post("/api/chatkit", json=CREATE)).status_code == 401
    assert (await http.post("/api/chatkit", json=CREATE, headers=cookie)).status_code == 200
    for attack in ({"origin": EVIL}, {"sec-fetch-site": "cross-site"}, {"origin": "null"}):
        refused = await http.post("/api/chatkit", json=CREATE, headers={**cookie, **attack})
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert len((await http.post("/api/chatkit", json=LIST, headers=cookie)).json()["data"]) == 1


@pytest.mark.row("F1", "F6")
async def test_a_bearer_token_works_from_any_origin_that_cors_allows(serve: Any) -> None:
    served = await serve(
        agent(Say("hi")), auth="jwt", jwt_secret=SECRET, cors_origins="https://*.example.com"
    )
    page = {"authorization": f"Bearer {token()}", "origin": "https://app.example.com"}
    response = await served.person.http.post("/api/chatkit", json=CREATE, headers=page)
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == "https://app.example.com"
    assert response.headers["access-control-allow-credentials"] == "true"
    assert "x-run-id" in response.headers["access-control-expose-headers"].lower()


@pytest.mark.row("F6")
async def test_strangers_get_no_cors_header_at_all(serve: Any) -> None:
    served = await serve(agent(), cors_origins="https://app.example.com")
    preflight = {"origin": EVIL, "access-control-request-method": "POST"}
    for response in (
        await served.person.http.post("/api/chatkit", json=LIST, headers={"origin": EVIL}),
        await served.person.http.get("/api/chatkit/threads", headers={"origin": EVIL}),
        await served.person.http.options("/api/chatkit", headers=preflight),
    ):
        assert [name for name in response.headers if name.startswith("access-control")] == []
        assert "origin" in response.headers["vary"].lower()
    allowed = await served.person.http.options(
        "/api/chatkit", headers={**preflight, "origin": "https://app.example.com"}
    )
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == "https://app.example.com"


@pytest.mark.row("F8")
@pytest.mark.parametrize("kept", [True, False])
async def test_a_prefix_that_the_proxy_keeps_or_removes(serve: Any, kept: bool) -> None:
    served = await serve(agent(Say("hi")), root_path="/tools/chat/")
    prefix = "/tools/chat" if kept else ""
    http = served.person.http
    response = await http.post(f"{prefix}/api/chatkit", json=CREATE)
    assert response.status_code == 200
    assert "Path=/tools/chat;" in response.headers["set-cookie"]
    assert (await http.get(f"{prefix}/health/live")).status_code == 200
    document = (await http.get(f"{prefix}/openapi.json")).json()
    assert document["servers"] == [{"url": "/tools/chat"}]
    assert (await http.get(f"{prefix}/")).status_code == 200
    redirect = await http.get("/tools/chat")
    assert (redirect.status_code, redirect.headers["location"]) == (308, "chat/")
    assert (await http.get("/tools/chatter/health/live")).status_code == 404


@pytest.mark.row("F8", "F6")
async def test_no_redirect_follows_a_host_that_somebody_made_up(serve: Any) -> None:
    served = await serve(agent())
    for path in ("/api/chatkit/threads/", "/health/", "/docs/"):
        response = await served.person.http.get(path, headers={"host": "evil.example"})
        assert response.status_code == 404
        assert "evil.example" not in response.headers.get("location", "")


@pytest.mark.row("F6", "F3")
async def test_tools_do_not_get_a_browsers_credentials(serve: Any) -> None:
    seen: dict[str, str] = {}

    @function_tool
    async def look(ctx: ToolContext[Any]) -> str:
        """Look at the request."""
        seen.update(ctx.context.request_context.headers)
        return "looked"

    model = ScriptedModel(Call("look"), Say("done"))
    served = await serve(Agent(name="A", model=model, tools=[look]), auth="jwt", jwt_secret=SECRET)
    headers = {"authorization": f"Bearer {token()}", "cookie": "session=secret", "x-team": "blue"}
    create = {"type": "threads.create", "params": {"input": user_message("look")}}
    assert (await served.person.http.post("/api/chatkit", json=create, headers=headers)).status_code == 200
    assert seen["x-team"] == "blue"
    assert "authorization" not in seen
    assert "cookie" not in seen
