"""Tokens and keys as issuers really make them; each case names the report."""

import base64
import hmac
import json
import time
from typing import Any

import pytest
from agents import Agent
from joserfc import jwt
from joserfc.jwk import ECKey, Key, RSAKey

from backchannel import Application
from backchannel.authenticators.jwt import JwtAuthenticator
from backchannel.key_sets.jwks import JwksKeySet
from backchannel.testing import ScriptedModel
from http_servers import listening
from wire.test_identity import SECRET

pytestmark = pytest.mark.row("F1", "F1b")

RSA, RSA_2 = RSAKey.generate_key(2048), RSAKey.generate_key(2048)
P256, P384 = ECKey.generate_key("P-256"), ECKey.generate_key("P-384")


def public(key: Key, **members: Any) -> dict[str, Any]:
    """An entry of a document of keys; `...` is a member that it does not have."""
    entry = {**key.as_dict(private=False), "kid": "k", "use": "sig", "alg": "RS256", **members}
    return {name: value for name, value in entry.items() if value is not ...}


def bare(key: Key, **members: Any) -> dict[str, Any]:
    """An entry with nothing that is optional."""
    return public(key, **{"kid": ..., "use": ..., "alg": ..., **members})


def number(key: Key, name: str = "n") -> bytes:
    text = str(key.as_dict(private=False)[name])
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Keys:
    """Endpoints of keys at `/0`, `/1`, …, which are strict about what is asked for."""

    def __init__(
        self, *documents: list[Any], media_type: str = "application/json", strict: bool = False
    ) -> None:
        self.documents = [json.dumps({"keys": entries}).encode() for entries in documents]
        self.media_type = media_type
        self.strict = strict

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        accept = dict(scope["headers"]).get(b"accept", b"").decode()
        accepted = [each.partition(";")[0].strip() for each in accept.split(",")]
        right = not self.strict or self.media_type in accepted or "*/*" in accepted
        headers = [(b"content-type", self.media_type.encode())]
        body = self.documents[int(scope["path"][1:])]
        await send({"type": "http.response.start", "status": 200 if right else 406, "headers": headers})
        await send({"type": "http.response.body", "body": body if right else b""})


async def statuses(serve: Any, keys: Keys, bearers: list[str]) -> list[int]:
    """What a server answers that has the keys of each document for the tokens of one header."""
    async with listening(keys) as (url, _):
        chain = [
            JwtAuthenticator([JwksKeySet(f"{url}/{place}")], audiences=["chat"], header=f"X-Token-{place}")
            for place in range(len(bearers))
        ]
        served = await serve(Application(agent=Agent(name="A", model=ScriptedModel()), authenticators=chain))
        found: list[int] = []
        for place, bearer in enumerate(bearers):
            response = await served.person.http.get("/auth/me", headers={f"X-Token-{place}": bearer})
            found.append(response.status_code)
        for each in chain:
            await each.aclose()
    return found


def signed(key: Key = RSA, algorithm: str = "RS256", *, kid: str | None = "k") -> str:
    # For a day: some are signed when the tests are collected.
    header = {"alg": algorithm, "kid": kid} if kid else {"alg": algorithm}
    payload = {"sub": "ann", "exp": int(time.time()) + 86_400, "aud": ["chat", "account"]}
    return jwt.encode(header, payload, key, algorithms=[algorithm])


ENCRYPTION = {"kty": "RSA", "kid": "e", "use": "enc", "alg": "RSA-OAEP", "n": bare(RSA_2)["n"], "e": "AQAB"}
NULLS = dict.fromkeys(("key_ops", "x5u", "x5c", "x5t", "d", "p"))

DOCUMENTS: list[tuple[str, list[Any], str]] = [
    # jenkinsci/oic-auth-plugin#304, vapor/jwt-kit#226, joken-elixir/joken_jwks#28: a key for encryption comes first.
    ("encryption first", [ENCRYPTION, public(RSA)], signed()),
    ("encryption with the same id", [{**ENCRYPTION, "kid": "k"}, public(RSA)], signed()),
    # lestrrat-go/jwx#879, cloudamqp/lavinmq#2124, auth0/jwks-rsa-java#6, centrifugal/centrifugo#962: without `alg`.
    ("without alg", [public(RSA, alg=...)], signed()),
    ("without alg, another one", [public(RSA, alg=...)], signed(algorithm="PS512")),
    # manfredsteyer/angular-oauth2-oidc#117, auth0/node-jwks-rsa#24 and #70, keycloak/keycloak#31854: without `use`.
    ("without use", [public(RSA, use=...)], signed()),
    # wildfly-security/wildfly-elytron#2298: `key_ops` in place of `use`.
    ("key_ops", [public(RSA, use=..., key_ops=["verify"])], signed()),
    # Abblix/Oidc.Server#263: absent members are written as null.
    ("nulls", [public(RSA, **NULLS)], signed()),
    ("null use and alg", [public(RSA, use=None, alg=None, **NULLS)], signed()),
    ("null kid", [public(RSA, kid=None, use=None)], signed()),
    # google/jwt_verify_lib#31, envoyproxy/envoy#9426: EC keys without `alg`, beside each other.
    ("EC", [bare(P256, kid="a"), bare(P384, kid="b")], signed(P384, "ES384", kid="b")),
    # GluuFederation/oxd#555, AzureAD/azure-activedirectory-identitymodel-extensions-for-dotnet#2353: no ids.
    ("no ids", [bare(RSA_2), bare(P256), bare(RSA)], signed(kid=None)),
    ("no ids but in the token", [bare(RSA_2), bare(RSA)], signed()),
    # keycloak/keycloak#15616 and #14794, mozilla/mozilla-django-oidc#350, jpadilla/pyjwt#1139, XenitAB/
    # go-oidc-middleware#228: one id for several algorithms.
    ("one id", [public(RSA, alg=each) for each in ("RS512", "RS256", "RS384")], signed()),
    # latchset/jwcrypto#268: one id for several keys of one type.
    ("one id, several keys", [public(RSA_2), public(RSA)], signed()),
    ("one id, several types", [public(P256, alg=...), public(RSA)], signed()),
    # MicahParks/jwkset#60, authlib/joserfc#104, go-jose/go-jose#276, latchset/jwcrypto#385: one key that nobody knows.
    (
        "Ed448",
        [public(RSA), {"kty": "OKP", "crv": "Ed448", "alg": "EdDSA", "x": "AAAA", "kid": "z"}],
        signed(),
    ),
    ("AKP", [{"kty": "AKP", "alg": "ML-DSA-65", "pub": "AAAA", "kid": "k"}, public(RSA)], signed()),
    # huskarl-rs/huskarl#139: known types with broken members.
    ("half an EC key", [{"kty": "EC", "crv": "P-256", "x": "AAAA", "kid": "k"}, public(RSA)], signed()),
    # MicahParks/keyfunc#30, square/go-jose#375: padding.
    ("padding", [public(RSA, n=base64.urlsafe_b64encode(number(RSA)).decode())], signed()),
    # MicahParks/jwkset#23: a zero before the number.
    ("a zero", [public(RSA, n=base64.urlsafe_b64encode(b"\0" + number(RSA)).decode().rstrip("="))], signed()),
    # Keats/jsonwebtoken#153, IdentityServer/IdentityServer3#732: the other alphabet of base64.
    ("the other alphabet", [public(RSA, n=base64.b64encode(number(RSA)).decode())], signed()),
]


async def test_documents_of_keys(serve):
    names, documents, bearers = zip(*DOCUMENTS, strict=True)
    found = await statuses(serve, Keys(*documents), list(bearers))
    assert dict(zip(names, found, strict=True)) == dict.fromkeys(names, 200)


# Abblix/Oidc.Server#78, MicahParks/keyfunc#63: a key for one algorithm verified another one.
# lestrrat-go/jwx#2060: a key for encryption verified signatures.
async def test_keys_that_are_for_something_else(serve):
    other = public(P256, alg=..., kid="z")
    documents = [
        [public(RSA, alg="RS512"), other],
        [public(RSA), other],
        [public(RSA, use="enc", alg=...), other],
    ]
    bearers = [signed(), signed(algorithm="PS256"), signed()]
    assert await statuses(serve, Keys(*documents), bearers) == [401, 401, 401]


# auth0/jwks-rsa-java#77, boylesoftware/tomcat-oidcauth#19, erlef/oidcc#63: who asked for application/json alone got 406.
# DuendeArchive/identity-model-oidc-client-js#609, krakend/krakend-jose#96, zalando-stups/planb-provider#23: keys that
# came as another type were refused.
@pytest.mark.parametrize(
    "media_type", ["application/jwk-set+json", "application/jwk+json", "application/json", "text/html"]
)
async def test_what_is_asked_for_and_what_comes(serve, media_type):
    keys = Keys([public(RSA)], media_type=media_type, strict=media_type != "text/html")
    async with listening(keys) as (url, _):
        served = await serve(
            Agent(name="A", model=ScriptedModel()), auth="jwt", jwt_jwks_url=f"{url}/0", jwt_audience="chat"
        )
        headers = {"authorization": f"Bearer {signed()}"}
        assert (await served.person.http.get("/auth/me", headers=headers)).status_code == 200


def piece(data: str) -> str:
    return base64.urlsafe_b64encode(data.encode()).rstrip(b"=").decode()


def by_hand(payload: str, typ: str = '"JWT"') -> str:
    """A token whose JSON is exactly that."""
    body = f"{piece(f'{{"alg":"HS256","typ":{typ}}}')}.{piece(payload)}"
    signature = hmac.digest(SECRET.encode(), body.encode(), "sha256")
    return f"{body}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def claims(exp: str = "", sub: str = '"ann"', more: str = "") -> str:
    return f'{{"sub":{sub},"exp":{exp or int(time.time()) + 86_400}{more}}}'


async def answers(serve: Any, bearers: list[str], **settings: Any) -> list[tuple[int, str]]:
    """The status, and the message or the user, of each token."""
    served = await serve(Agent(name="A", model=ScriptedModel()), auth="jwt", jwt_secret=SECRET, **settings)
    found: list[tuple[int, str]] = []
    for bearer in bearers:
        response = await served.person.http.get("/auth/me", headers={"authorization": f"Bearer {bearer}"})
        body = response.json()
        found.append((response.status_code, body.get("user") or body["message"]))
    return found


# pomerium/pomerium#4149, benmcollins/libjwt#188, panva/openid-client#263, web-token/jwt-framework#264,
# smallrye/smallrye-jwt#758: times with a fraction or an exponent were refused or misread. Kitura/Swift-JWT#31,
# tymondesigns/jwt-auth#1053, dgrijalva/jwt-go#226, lcobucci/jwt#191: issuers whose clock is ahead.
async def test_times_that_are_times(serve):
    now = time.time()
    good = [
        claims("1.9e+09"),
        claims("1.900000000e9"),
        claims(f"{now + 60:.6f}"),
        claims("253402300799"),
        claims(more=f',"iat":{now + 10:.3f},"nbf":{now + 10:.3f}'),
    ]
    assert {each[0] for each in await answers(serve, [by_hand(each) for each in good])} == {200}


# auth0/node-jsonwebtoken#293, lcobucci/jwt#604, auth0/java-jwt#706, ticarpi/jwt_tool#36: texts, dates, and times that
# no clock will show.
async def test_times_that_are_none(serve):
    bad = ['"1900000000"', '"2099-01-01T00:00:00Z"', "1.733162101e+26", "1e400", "-1", "null", "true", "[]"]
    found = await answers(serve, [by_hand(claims(each)) for each in bad])
    assert {each[0] for each in found} == {401}
    assert all("exp" in message or "cannot be read" in message for _, message in found), found


# jpadilla/pyjwt#1017, vimalloc/flask-jwt-extended#557, farcasterxyz/miniapps#440, mediawiki-utilities/
# python-mwoauth#51: people looked for hours why numbers were refused. The message names the claim.
async def test_subjects(serve):
    bad = ("4", "null", '{"id":4}', '""', '"' + "x" * 256 + '"', r'"a\u0000"', r'"\ud800"')
    for code, message in await answers(serve, [by_hand(claims(sub=each)) for each in bad]):
        assert (code, "sub" in message or "user" in message) == (401, True), message
    good = ["auth0|66f", "https://sts.example/1#x", "Ünïcödé 名前", "a b", "x" * 255, "\U0001f600"]
    found = await answers(serve, [by_hand(claims(sub=json.dumps(each))) for each in good])
    assert found == [(200, each) for each in good]


# jmcardon/tsec#321, spring-projects/spring-security#13185, elastic/elasticsearch#126687: at+jwt.
# jedisct1/rust-jwt-simple#54 and #62, mozilla/fxa#5888: the case, and application/ before it. madf/jwtxx#16: none.
async def test_types(serve):
    good = (
        '"JWT"',
        '"jwt"',
        '"at+jwt"',
        '"at+JWT"',
        '"application/at+jwt"',
        '"application/jwt"',
        '"Application/AT+JWT"',
        '""',
    )
    bad = ('"logout+jwt"', '"application/secevent+jwt"', '"dpop+jwt"', "7", "null")
    found = await answers(serve, [by_hand(claims(), each) for each in good + bad])
    assert [status for status, _ in found] == [200] * len(good) + [401] * len(bad)


# open-webui/open-webui#28191 and #28283, mcdonc/klangk#166, josuebrunel/ezauth#87, managoat/fountain#181: whoever
# entered the address of somebody else at the issuer was that person.
async def test_an_address_that_the_issuer_has_not_verified_is_nobodys(serve):
    address = ',"email":"ada@example.com"'
    good = ["", ',"email_verified":true', ',"email_verified":"true"']
    bad = [',"email_verified":false', ',"email_verified":"false"']
    bearers = [by_hand(claims(more=address + each)) for each in good + bad]
    found = await answers(serve, bearers, jwt_user_claim="email")
    assert found[: len(good)] == [(200, "ada@example.com")] * len(good)
    assert all(status == 401 and "not verified" in text for status, text in found[len(good) :]), found
    # Where it says nothing about who somebody is, it does not matter.
    assert await answers(serve, bearers[-1:]) == [(200, "ann")]
