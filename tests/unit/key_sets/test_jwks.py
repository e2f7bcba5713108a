"""Keys that an issuer publishes are fetched when they are needed, and its failures lock nobody out."""

import asyncio
import base64
import hmac
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey
from starlette.requests import HTTPConnection

from backchannel.authenticators.jwt import JwtAuthenticator
from backchannel.errors import UnauthenticatedError, UnavailableError
from backchannel.fetched_document import COOLDOWN_SECONDS, FRESH_SECONDS, MAX_BYTES, STALE_SECONDS
from backchannel.key_sets.jwks import JwksKeySet
from backchannel.key_sets.secret import SecretKeySet
from http_servers import listening

pytestmark = pytest.mark.row("F1", "F1b")

OLD, NEW = RSAKey.generate_key(2048), RSAKey.generate_key(2048)


class Issuer:
    """The endpoint of an issuer's keys: what it answers, and how often it was asked."""

    def __init__(self) -> None:
        self.keys: list[dict[str, Any]] = [self.public(OLD, "old")]
        self.status = 200
        self.body: bytes | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = 0

    @staticmethod
    def public(key: Any, key_id: str | None) -> dict[str, Any]:
        entry = key.as_dict(private=False)
        return {**entry, "kid": key_id} if key_id else entry

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        self.asked += 1
        await self.gate.wait()
        body = self.body if self.body is not None else json.dumps({"keys": self.keys}).encode()
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": body})


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def verifier(issuer: Issuer) -> AsyncIterator[tuple[JwtAuthenticator, Clock]]:
    clock = Clock()
    async with listening(issuer) as (url, _):
        authenticator = JwtAuthenticator([JwksKeySet(f"{url}/keys", clock=clock)])
        try:
            yield authenticator, clock
        finally:
            issuer.gate.set()
            await authenticator.aclose()


def token(key: Any = OLD, key_id: str | None = "old", algorithm: str = "RS256", **claims: Any) -> str:
    header = {"alg": algorithm, "kid": key_id} if key_id else {"alg": algorithm}
    payload = {"sub": "ann", "exp": int(time.time()) + 600, **claims}
    return jwt.encode(header, payload, key, algorithms=[algorithm])


def piece(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


async def user(authenticator: JwtAuthenticator, bearer: str) -> str:
    headers = [(b"authorization", f"Bearer {bearer}".encode())]
    found = await authenticator.authenticate(HTTPConnection({"type": "http", "headers": headers}))
    assert found is not None
    return found.identity.user


async def refused(authenticator: JwtAuthenticator, bearer: str, message: str = "signature is wrong") -> None:
    with pytest.raises(UnauthenticatedError, match=message):
        await user(authenticator, bearer)


async def test_one_fetch_serves_everybody() -> None:
    issuer = Issuer()
    issuer.gate.clear()
    async with verifier(issuer) as (authenticator, _):
        waiting = [asyncio.create_task(user(authenticator, token())) for _ in range(20)]
        async with asyncio.timeout(10):
            while not issuer.asked:  # noqa: ASYNC110 - of the server
                await asyncio.sleep(0.01)
        # Who goes away takes the fetch from nobody.
        waiting.pop(0).cancel()
        issuer.gate.set()
        assert await asyncio.wait_for(asyncio.gather(*waiting), 10) == ["ann"] * 19
        assert await user(authenticator, token()) == "ann"
        assert issuer.asked == 1


# RFC 9864 deprecates the name EdDSA, which issuers will use for years.
@pytest.mark.filterwarnings("ignore:.*EdDSA")
@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        ("RS256", OLD),
        ("PS256", OLD),
        ("ES256", ECKey.generate_key("P-256")),
        ("ES384", ECKey.generate_key("P-384")),
        ("ES512", ECKey.generate_key("P-521")),
        ("EdDSA", OKPKey.generate_key("Ed25519")),
        ("Ed25519", OKPKey.generate_key("Ed25519")),
    ],
)
async def test_algorithms(algorithm: str, key: Any) -> None:
    issuer = Issuer()
    issuer.keys = [issuer.public(key, "k")]
    async with verifier(issuer) as (authenticator, _):
        assert await user(authenticator, token(key, "k", algorithm)) == "ann"
        assert await user(authenticator, token(key, None, algorithm)) == "ann"
        other = {"RSA": NEW, "EC": ECKey, "OKP": OKPKey}[key.key_type]
        wrong = other if key.key_type == "RSA" else other.generate_key(key.curve_name)
        await refused(authenticator, token(wrong, "k", algorithm))


# garden-co/jazz#340, kilork/openid#59, sikt-no/clj-jwt#1: keys of a rotation were unknown until a restart.
async def test_new_keys_are_known_at_once() -> None:
    issuer = Issuer()
    async with verifier(issuer) as (authenticator, clock):
        assert await user(authenticator, token()) == "ann"
        issuer.keys = [issuer.public(OLD, "old"), issuer.public(NEW, "new")]
        clock.now += COOLDOWN_SECONDS
        assert await user(authenticator, token(NEW, "new")) == "ann"
        assert await user(authenticator, token()) == "ann"
        assert issuer.asked == 2


# jdx/mr-boxington-cache#1: the cool-down of the start kept keys of a rotation out.
async def test_new_keys_under_an_old_name_are_known_at_once() -> None:
    issuer = Issuer()
    async with verifier(issuer) as (authenticator, clock):
        assert await user(authenticator, token()) == "ann"
        issuer.keys = [issuer.public(NEW, "old")]
        clock.now += COOLDOWN_SECONDS
        assert await user(authenticator, token(NEW, "old")) == "ann"
        await refused(authenticator, token())


# blckngm/jwtk#8, benmcollins/libjwt#313, auth0/node-jwks-rsa#319: made-up key ids made a request each.
async def test_unknown_keys_cause_few_fetches() -> None:
    issuer = Issuer()
    async with verifier(issuer) as (authenticator, clock):
        assert await user(authenticator, token()) == "ann"
        clock.now += COOLDOWN_SECONDS
        for index in range(50):
            await refused(authenticator, token(NEW, f"made-up-{index}"))
        assert issuer.asked == 2
        assert await user(authenticator, token()) == "ann"


# jpadilla/pyjwt#1162, smallrye/smallrye-jwt#826, icanbwell/fhir-server#2209: an issuer that was away locked all out.
@pytest.mark.parametrize(
    "failure",
    [
        {"status": 500},
        {"body": b"<html>maintenance</html>"},
        {"body": b'{"keys": []}'},
        {"body": b"[" * 100_000},
        {"body": b" " * (MAX_BYTES + 1)},
        {"body": b"\xff\xfe"},
    ],
    ids=lambda failure: str(failure)[:30],
)
async def test_known_keys_stay_good_for_a_day_while_the_issuer_fails(failure: dict[str, Any]) -> None:
    issuer = Issuer()
    async with verifier(issuer) as (authenticator, clock):
        assert await user(authenticator, token()) == "ann"
        before = vars(issuer).copy()
        vars(issuer).update(failure)
        for hours in (1, 12, 23.9):
            clock.now = 1000 + hours * 3600
            assert await user(authenticator, token()) == "ann"
        clock.now = 1000 + STALE_SECONDS + FRESH_SECONDS
        # Not 401: the token may be valid.
        with pytest.raises(UnavailableError) as caught:
            await user(authenticator, token())
        assert caught.value.retry_after
        vars(issuer).update({name: before[name] for name in failure})
        clock.now += COOLDOWN_SECONDS
        assert await user(authenticator, token()) == "ann"


async def test_old_keys_serve_while_new_ones_are_fetched() -> None:
    issuer = Issuer()
    async with verifier(issuer) as (authenticator, clock):
        assert await user(authenticator, token()) == "ann"
        issuer.gate.clear()
        clock.now += FRESH_SECONDS + 1
        assert await asyncio.wait_for(user(authenticator, token()), 2) == "ann"
        issuer.keys = [issuer.public(NEW, "new")]
        issuer.gate.set()
        async with asyncio.timeout(10):
            # A key that its issuer took back is not trusted any more.
            while True:
                try:
                    await user(authenticator, token())
                except UnauthenticatedError:
                    break
                await asyncio.sleep(0.01)


# auth0/node-jwks-rsa#257: the first failure was remembered.
async def test_an_issuer_that_is_away_at_the_start() -> None:
    issuer = Issuer()
    issuer.status = 503
    async with verifier(issuer) as (authenticator, clock):
        for _ in range(5):
            with pytest.raises(UnavailableError):
                await user(authenticator, token())
        assert issuer.asked == 1
        issuer.status = 200
        clock.now += COOLDOWN_SECONDS
        assert await user(authenticator, token()) == "ann"


async def test_an_address_at_which_nobody_listens() -> None:
    authenticator = JwtAuthenticator([JwksKeySet("http://127.0.0.1:9/keys")])
    with pytest.raises(UnavailableError):
        await user(authenticator, token())


# Auth0's "Critical vulnerabilities in JSON Web Token libraries": the public key as the secret of HS256.
async def test_the_name_of_an_algorithm_does_not_choose_the_kind_of_key() -> None:
    issuer = Issuer()
    async with verifier(issuer) as (authenticator, _):
        await user(authenticator, token())
        pem = OLD.as_pem(private=False)
        payload = {"sub": "eve", "exp": int(time.time()) + 60}
        parts = [piece(json.dumps(part).encode()) for part in ({"alg": "HS256", "kid": "old"}, payload)]
        signature = hmac.digest(pem, ".".join(parts).encode(), "sha256")
        from_public_key = ".".join([*parts, piece(signature)])
        await refused(authenticator, from_public_key, "algorithm is not accepted")


async def test_a_secret_and_published_keys_beside_each_other() -> None:
    issuer = Issuer()
    async with listening(issuer) as (url, _):
        keys = JwksKeySet(f"{url}/keys")
        authenticator = JwtAuthenticator([SecretKeySet("s" * 32), keys])
        from_secret = jwt.encode(
            {"alg": "HS256"}, {"sub": "bob", "exp": int(time.time()) + 60}, SecretKeySet("s" * 32)._keys[0]
        )
        assert await user(authenticator, from_secret) == "bob"
        assert issuer.asked == 0
        assert await user(authenticator, token()) == "ann"
        await authenticator.aclose()
