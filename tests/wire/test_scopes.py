"""What a token may do: the scopes of its claims, account or session."""

from typing import Any

import pytest

from backchannel.testing import user_message
from backchannel.todo import assistant
from people_who_log_in import PASSWORD, SETTINGS, people_of
from wire.test_identity import SECRET, token

pytestmark = pytest.mark.row("D5b")

CREATE = {"type": "threads.create", "params": {"input": user_message("hello")}}
LIST = {"type": "threads.list", "params": {}}


@pytest.fixture
async def todos(serve):
    return await serve(assistant, auth="jwt", jwt_secret=SECRET, model="offline")


def endpoints(document: dict[str, Any], prefix: str) -> list[tuple[str, str]]:
    return [
        (method.upper(), path.replace("{", "").replace("}", ""))
        for path, operations in document["paths"].items()
        if path.startswith(prefix)
        for method in operations
    ]


async def refusals(served: Any, prefix: str, scopes: str) -> dict[str, tuple[int, str]]:
    """The status and the scope asked for of every endpoint below a path, by what has been called."""
    someone = await served.someone(token(scope=scopes))
    document = (await someone.http.get("/openapi.json")).json()
    found = {}
    for method, path in endpoints(document, prefix):
        body = None if method in {"GET", "DELETE"} else {}
        response = await someone.http.request(method, path, json=body)
        found[f"{method} {path}"] = response.status_code, response.headers.get("www-authenticate", "")
    return found


async def test_a_token_without_the_scope_chat_reaches_nothing_of_the_chat(todos):
    found = await refusals(todos, "/api/chatkit", "todos")
    # Everybody may have a visitor's cookie.
    assert found.pop("POST /api/chatkit/visitor")[0] == 200
    # Whoever has a link needs no token, and there is none.
    assert {found.pop(f"{method} /api/chatkit/uploads/file_id")[0] for method in ("PUT", "POST")} == {404}
    assert len(found) > 15
    assert set(found.values()) == {(403, 'Bearer error="insufficient_scope", scope="chat"')}, found


async def test_a_token_without_the_scope_todos_reaches_no_todo(todos):
    found = await refusals(todos, "/api/todos", "chat")
    assert len(found) == 6
    assert set(found.values()) == {(403, 'Bearer error="insufficient_scope", scope="todos"')}, found


async def test_a_refusal_says_which_scope_is_missing_and_changes_nothing(todos):
    ada = await todos.someone(token())
    limited = await todos.someone(token(scope="todos"))
    response = await limited.http.post("/api/chatkit", json=CREATE)
    assert response.status_code == 403
    assert response.json()["code"] == "insufficient_scope"
    assert '"chat"' in response.json()["message"]
    assert (await ada.request("threads.list", {}))["data"] == []


@pytest.mark.parametrize(
    ("scope", "chat", "todo"),
    [
        (None, 200, 200),
        ("", 200, 200),
        ("openid profile email", 200, 200),
        ("chat todos", 200, 200),
        ("chat openid", 200, 403),
        ("todos", 403, 200),
        ("admin", 403, 403),
        (["todos", "chat"], 200, 200),
        ("chatter", 200, 200),
        ("Chat todos", 403, 200),
    ],
)
async def test_what_the_claim_of_a_token_allows(todos, scope, chat, todo):
    someone = await todos.someone(token(scope=scope))
    assert (await someone.http.post("/api/chatkit", json=LIST)).status_code == chat
    assert (await someone.http.get("/api/todos")).status_code == todo


async def test_tools_act_with_the_scopes_of_the_caller(todos):
    limited = await todos.someone(token(scope="chat"))
    events = await (await limited.say("add buy milk")).events()
    thread_id = events[0]["thread"]["id"]
    assert events[-1]["type"] != "error", events[-1]
    ada = await todos.someone(token())
    assert (await ada.http.get("/api/todos")).json()["total"] == 0
    items = await ada.request("items.list", {"thread_id": thread_id})
    texts = [
        part["text"]
        for item in items["data"]
        if item["type"] == "assistant_message"
        for part in item["content"]
    ]
    assert any("scope" in text for text in texts), texts


async def test_no_question_shows_todos_to_a_caller_without_their_scope(todos):
    ada = await todos.someone(token())
    for title in ("First secret", "Second secret"):
        await ada.http.post("/api/todos", json={"title": title})
    limited = await todos.someone(token(scope="chat"))
    events = await (await limited.say("delete everything")).events()
    assert "secret" not in str(events)
    assert (await ada.http.get("/api/todos")).json()["total"] == 2


async def test_a_token_of_an_account_has_what_it_asked_for(serve):
    served = await serve(assistant, **SETTINGS)
    await people_of(served).add()
    fields = {"grant_type": "password", "username": "alice", "password": PASSWORD, "scope": "chat"}
    granted = (await served.person.http.post("/auth/token", data=fields)).json()
    someone = await served.someone(granted["access_token"])
    assert (await someone.http.post("/api/chatkit", json=LIST)).status_code == 200
    assert (await someone.http.get("/api/todos")).status_code == 403
    assert (await someone.http.get("/auth/me")).json()["scopes"] == ["chat"]


async def test_everybody_can_see_who_they_are(serve):
    """Also where nobody logs in: the page asks it, whatever the authenticators are."""
    served = await serve(assistant, auth="jwt,anonymous", jwt_secret=SECRET)
    assert (await served.person.http.get("/auth/me")).status_code == 401
    me = (await (await served.someone(token(scope="chat"))).http.get("/auth/me")).json()
    assert (me["user"], me["scopes"], me["csrf_token"]) == ("ada", ["chat"], None)
    assert (await served.person.http.get("/auth/sessions")).status_code == 404
    await served.person.http.post("/api/chatkit/visitor")
    assert (await served.person.http.get("/auth/me")).json()["anonymous"] is True
