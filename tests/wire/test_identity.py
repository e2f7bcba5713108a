"""Who is calling, over HTTP: visitors' cookies, bearer tokens, other origins."""

import time

import pytest
from agents import Agent
from joserfc import jwt
from joserfc.jwk import OctKey

from backchannel.testing import Say, ScriptedModel, ServerError, user_message
from visitors import visitor_cookie

SECRET = "0123456789abcdef0123456789abcdef"
OTHER = "fedcba9876543210fedcba9876543210"
LIST = {"type": "threads.list", "params": {}}
CREATE = {"type": "threads.create", "params": {"input": user_message("hello")}}


def token(secret: str = SECRET, algorithm: str = "HS256", **claims) -> str:
    claims = {"sub": "ada", "exp": int(time.time()) + 60, **claims}
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode({"alg": algorithm}, claims, OctKey.import_key(secret), algorithms=[algorithm])


def agent(*steps) -> Agent:
    return Agent(name="A", model=ScriptedModel(*steps))


@pytest.mark.row("F1", "D5")
async def test_tokens_name_user_and_tenant(serve):
    served = await serve(agent(Say("a"), Say("b"), Say("c")), auth="jwt", jwt_secret=SECRET)
    ada = await served.someone(token())
    same_name_elsewhere = await served.someone(token(tenant="acme"))
    bob = await served.someone(token(sub="bob"))
    events = await (await ada.say("mine")).events()
    thread_id = events[0]["thread"]["id"]
    for other in (same_name_elsewhere, bob):
        assert (await other.request("threads.list", {}))["data"] == []
        with pytest.raises(ServerError) as error:
            await other.request("threads.get_by_id", {"thread_id": thread_id})
        assert error.value.status == 404
    again = await served.someone(token(exp=int(time.time()) + 999))
    assert len((await again.request("threads.list", {}))["data"]) == 1


@pytest.mark.row("F1", "A3")
@pytest.mark.parametrize(
    "credentials",
    [
        None,
        "Bearer",
        "Bearer rubbish",
        "Basic YWRhOmFkYQ==",
        f"Bearer {token(OTHER)}",
        f"Bearer {token(exp=int(time.time()) - 120)}",
        f"Bearer {token(exp=None)}",
        f"Bearer {token(sub=None)}",
        f"Bearer {token(sub='')}",
        f"Bearer {token(sub=5)}",
        f"Bearer {token(tenant=5)}",
        f"Bearer {token(nbf=int(time.time()) + 120)}",
        f"Bearer {token(algorithm='HS512')}",
        "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEiLCJleHAiOjk5OTk5OTk5OTl9.",
        "Bearer " + "x" * 9000,
    ],
)
async def test_no_or_bad_credentials_are_401(serve, credentials):
    served = await serve(agent(), auth="jwt", jwt_secret=SECRET)
    headers = {"authorization": credentials} if credentials else {}
    response = await served.person.http.post("/api/chatkit", json=LIST, headers=headers)
    assert response.status_code == 401
    assert response.json()["code"] == "unauthenticated"
    assert response.headers["www-authenticate"] == "Bearer"
    assert "set-cookie" not in response.headers


@pytest.mark.row("F1")
async def test_issuer_and_audience_are_checked_where_set(serve):
    served = await serve(agent(), auth="jwt", jwt_secret=SECRET, jwt_issuer="us", jwt_audience="chat")
    good = {"iss": "us", "aud": ["chat", "mail"]}
    for claims, status in (
        (good, 200),
        ({**good, "iss": "them"}, 401),
        ({**good, "aud": "mail"}, 401),
        ({"iss": "us"}, 401),
        ({"aud": "chat"}, 401),
    ):
        headers = {"authorization": f"Bearer {token(**claims)}"}
        response = await served.person.http.post("/api/chatkit", json=LIST, headers=headers)
        assert response.status_code == status, claims


@pytest.mark.row("F1")
async def test_a_bad_token_does_not_fall_back_to_being_anonymous(serve):
    served = await serve(agent(), auth="anonymous,jwt", jwt_secret=SECRET)
    bad = await served.person.http.post("/api/chatkit", json=LIST, headers={"authorization": "Bearer x"})
    assert bad.status_code == 401
    assert (await served.person.http.post("/api/chatkit", json=LIST)).status_code == 200


@pytest.mark.row("F3", "F7")
async def test_each_browser_is_its_own_visitor_by_a_signed_cookie(serve):
    served = await serve(agent(Say("hi"), Say("hi")))
    # Reading makes nobody a visitor, neither by GET nor by an operation of the protocol.
    for first in (
        await served.person.http.post("/api/chatkit", json=LIST),
        await served.person.http.get("/api/chatkit/threads"),
        await served.person.http.get("/"),
    ):
        assert (first.status_code, first.headers.get("set-cookie")) == (200, None)
    first = await served.person.http.post("/api/chatkit", json=CREATE)
    cookie = first.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "set-cookie" not in (await served.person.http.post("/api/chatkit", json=CREATE)).headers
    name, value = visitor_cookie(served.person.http)
    user, _, signature = value.partition(".")
    for forged in (f"{user}x.{signature}", f"{user}.{signature[:-2]}xx", user, f".{signature}", "é.é", ""):
        thief = await served.someone()
        response = await thief.http.post(
            "/api/chatkit", json=LIST, headers={"cookie": f"{name}={forged}".encode("latin-1")}
        )
        assert response.status_code == 200
        assert response.json()["data"] == []
    friend = await served.someone()
    response = await friend.http.post("/api/chatkit", json=LIST, headers={"cookie": f"{name}={value}"})
    assert len(response.json()["data"]) == 2


@pytest.mark.row("F6")
async def test_other_origins(serve):
    """A page of another site can neither act for a visitor nor read; one of this machine can, in development."""
    served = await serve(agent(), cors_origins="https://app.example.com")
    post = served.person.http.post
    evil = await post("/api/chatkit", json=LIST, headers={"origin": "https://evil.example.com"})
    assert (evil.status_code, evil.json()["code"]) == (403, "forbidden")
    assert "access-control-allow-origin" not in evil.headers
    good = await post("/api/chatkit", json=LIST, headers={"origin": "https://app.example.com"})
    assert good.headers["access-control-allow-origin"] == "https://app.example.com"
    assert good.headers["access-control-allow-credentials"] == "true"
    preflight = await served.person.http.options(
        "/api/chatkit",
        headers={
            "origin": "http://localhost:5173",
            "access-control-request-method": "POST",
            "access-control-request-headers": "content-type,openai-domain-key",
        },
    )
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "http://localhost:5173"
    too_large = await post(
        "/api/chatkit", content=b"x" * 2_000_000, headers={"origin": "https://app.example.com"}
    )
    assert too_large.status_code == 413
    assert too_large.headers["access-control-allow-origin"] == "https://app.example.com"


@pytest.mark.row("F6")
async def test_a_front_end_on_another_port_that_sends_no_cookies_keeps_its_conversation(serve):
    served = await serve(agent(Say("one"), Say("two")))
    headers = {"origin": "http://localhost:5173"}
    visitor = await served.someone()
    visitor.http.headers.update(headers)
    thread_id = (await (await visitor.say("hi")).events())[0]["thread"]["id"]
    visitor.http.cookies.clear()
    events = await (await visitor.say("and?", thread_id)).events()
    assert events[-1]["item"]["content"][0]["text"] == "two"
    assert (await served.person.request("threads.list", {}))["data"] == []
    other = await served.someone()
    other.http.headers["origin"] = "http://localhost:9999"
    assert (await other.request("threads.list", {}))["data"] == []


@pytest.mark.row("F7")
async def test_production_gives_loopback_pages_nothing_special(serve):
    served = await serve(
        agent(), env="production", auth="jwt,anonymous", jwt_secret=SECRET, secret_key=SECRET
    )
    response = await served.person.http.post(
        "/api/chatkit", json=LIST, headers={"origin": "http://localhost:5173"}
    )
    assert response.status_code == 403
    assert "access-control-allow-origin" not in response.headers
