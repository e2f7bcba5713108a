"""A strict identity provider for tests: it refuses what it should, and lies when it is told to."""

import asyncio
import base64
import hashlib
import secrets
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote_plus, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import http_servers

CLIENT_ID = "backchannel"
CLIENT_SECRET = "a secret: with % and + and ü"

KEY = RSAKey.generate_key(2048, {"kid": "one"}, private=True)
"""Made once: it takes a while."""

OTHER_KEY = RSAKey.generate_key(2048, {"kid": "one"}, private=True)


@dataclass
class Grant:
    """What a code stands for."""

    nonce: str
    challenge: str
    redirect_uri: str
    scope: str


@dataclass
class Double:
    """The provider. Tests change what it says.

    Attributes:
        claims: More claims of ID tokens, in place of those that it would have.
        metadata: More of the discovery document.
        sign: Makes the ID token of its claims.
        token_answer: In place of what the token endpoint would answer: a status and a body, or a raw response.
        down: Whether every request is answered with 503.
        asked: The path of each request.
        requests: The fields of each token request.
        pause: Awaited before a token request is answered; `paused` is set then.
    """

    url: str = ""
    claims: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    sign: Callable[[dict[str, Any]], str] = field(
        default=lambda claims: jwt.encode({"alg": "RS256", "kid": "one"}, claims, KEY)
    )
    userinfo: dict[str, Any] = field(default_factory=dict)
    token_answer: Response | None = None
    secret: str | None = CLIENT_SECRET
    refresh_tokens: bool = False
    disabled: bool = False
    down: bool = False
    asked: list[str] = field(default_factory=list)
    requests: list[dict[str, str]] = field(default_factory=list)
    pause: asyncio.Event | None = None
    paused: asyncio.Event = field(default_factory=asyncio.Event)
    codes: dict[str, Grant] = field(default_factory=dict)
    refreshes: set[str] = field(default_factory=set)

    def document(self) -> dict[str, Any]:
        """The discovery document."""
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize?tenant=1",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            "userinfo_endpoint": f"{self.url}/userinfo",
            "end_session_endpoint": f"{self.url}/end?x=1",
            "code_challenge_methods_supported": ["S256"],
            **self.metadata,
        }

    def authorize(self, url: str, **answer: str | None) -> str:
        """What the provider does with a browser that was sent to `url`, when the person agrees: the query with which it
        sends them back.

        Args:
            answer: Parameters in place of those that it would send; `None` leaves one out.
        """
        parts = urlsplit(url)
        assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{self.url}/authorize"
        asked = parse_qs(parts.query)
        assert all(len(values) == 1 for values in asked.values()), asked
        one = {name: values[0] for name, values in asked.items()}
        assert one["tenant"] == "1"
        assert (one["response_type"], one["client_id"]) == ("code", CLIENT_ID)
        assert one["code_challenge_method"] == "S256"
        assert len(one["code_challenge"]) == 43
        assert len(one["nonce"]) >= 22
        assert len(one["state"]) >= 22
        assert "openid" in one["scope"].split()
        code = secrets.token_urlsafe(16)
        self.codes[code] = Grant(one["nonce"], one["code_challenge"], one["redirect_uri"], one["scope"])
        given = {"code": code, "state": one["state"], "iss": self.url, **answer}
        return urlencode({name: value for name, value in given.items() if value is not None})

    def id_token(self, **claims: Any) -> str:
        """An ID token."""
        now = int(time.time())
        usual = {"iss": self.url, "sub": "248289761001", "aud": CLIENT_ID, "iat": now, "exp": now + 300}
        wanted = {**usual, "name": "Ada Lovelace", **claims, **self.claims}
        return self.sign({name: value for name, value in wanted.items() if value is not None})

    async def answer(self, request: Request) -> Response:
        """Any request."""
        path = request.url.path
        self.asked.append(path)
        if self.down:
            return Response("<h1>Down</h1>", 503)
        match path:
            case "/.well-known/openid-configuration":
                return JSONResponse(self.document())
            case "/keys":
                return JSONResponse(KeySet([KEY]).as_dict(private=False))
            case "/token":
                return await self._token(request)
            case "/userinfo":
                assert request.headers["authorization"] == "Bearer access"
                return JSONResponse({"sub": "248289761001", **self.userinfo})
            case _:
                return Response("?", 404)

    async def _token(self, request: Request) -> Response:
        pairs = parse_qsl((await request.body()).decode(), strict_parsing=True)
        fields = dict(pairs)
        assert len(fields) == len(pairs)
        self.requests.append(fields)
        if self.pause is not None:
            self.paused.set()
            await self.pause.wait()
        if self.token_answer is not None:
            return self.token_answer
        if not self._authenticated(request, fields):
            return JSONResponse({"error": "invalid_client"}, 401)
        if fields["grant_type"] == "refresh_token":
            return self._refreshed(fields)
        grant = self.codes.pop(fields["code"], None)
        digest = hashlib.sha256(fields.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if grant is None or challenge != grant.challenge or fields.get("redirect_uri") != grant.redirect_uri:
            return JSONResponse({"error": "invalid_grant"}, 400)
        return JSONResponse(self._answer(self.id_token(nonce=grant.nonce)))

    def _refreshed(self, fields: dict[str, str]) -> Response:
        if self.disabled or fields["refresh_token"] not in self.refreshes:
            return JSONResponse({"error": "invalid_grant"}, 400)
        self.refreshes.remove(fields["refresh_token"])
        return JSONResponse(self._answer(self.id_token()))

    def _answer(self, id_token: str) -> dict[str, Any]:
        found = {"access_token": "access", "token_type": "Bearer", "expires_in": 300, "id_token": id_token}
        if self.refresh_tokens:
            found["refresh_token"] = secrets.token_urlsafe(16)
            self.refreshes.add(str(found["refresh_token"]))
        return found

    def _authenticated(self, request: Request, fields: dict[str, str]) -> bool:
        basic = request.headers.get("authorization", "")
        methods = self.metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        if self.secret is None:
            return not basic and "client_secret" not in fields and fields.get("client_id") == CLIENT_ID
        if "client_secret_basic" in methods:
            pair = base64.b64decode(basic.removeprefix("Basic ")).decode().partition(":")
            return (unquote_plus(pair[0]), unquote_plus(pair[2])) == (CLIENT_ID, self.secret)
        return not basic and (fields.get("client_id"), fields.get("client_secret")) == (
            CLIENT_ID,
            self.secret,
        )


@asynccontextmanager
async def provider() -> AsyncGenerator[Double]:
    """A provider that listens on loopback."""
    double = Double()
    routes = [Route("/{path:path}", double.answer, methods=["GET", "POST"])]
    async with http_servers.listening(Starlette(routes=routes)) as (url, _):
        double.url = url
        yield double


def settings_for(double: Double, **more: Any) -> dict[str, Any]:
    """The settings of a server whose people log in there."""
    return {
        "auth": "oidc",
        "oidc_issuer": double.url,
        "oidc_client_id": CLIENT_ID,
        "oidc_client_secret": double.secret,
        "oidc_name": "Example",
        "secret_key": "k" * 32,
        **more,
    }
