"""Bearer tokens: only those that the holder of the key made, in time and for us, and never an unexpected error."""

import base64
import hmac
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from starlette.requests import HTTPConnection

from backchannel.authenticators.jwt import MAX_TOKEN_CHARS, ClaimNames, JwtAuthenticator
from backchannel.context import Identity
from backchannel.errors import UnauthenticatedError
from backchannel.key_sets.secret import SecretKeySet

pytestmark = pytest.mark.row("F1")

SECRET = "s" * 32
KEY = OctKey.import_key(SECRET)
LEEWAY = 30


def request(authorization: str | None) -> HTTPConnection:
    headers = (
        [] if authorization is None else [(b"authorization", authorization.encode("latin-1", "replace"))]
    )
    return HTTPConnection({"type": "http", "headers": headers})


def claims(**changes: Any) -> dict[str, Any]:
    full = {"sub": "ann", "exp": int(time.time()) + 600, **changes}
    return {name: value for name, value in full.items() if value is not ...}


def token(payload: Any = None, *, key: OctKey = KEY, header: dict[str, Any] | None = None) -> str:
    return jwt.encode(header or {"alg": "HS256"}, payload or claims(), key, algorithms=["HS256", "HS512"])


def piece(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(header: Any, payload: Any) -> str:
    """A token whose signature holds, whatever stands in it."""
    body = f"{piece(header)}.{piece(payload)}"
    return f"{body}.{piece(hmac.digest(SECRET.encode(), body.encode(), 'sha256'))}"


async def known(bearer: str, **options: Any) -> Identity:
    found = await JwtAuthenticator([SecretKeySet(SECRET)], leeway=LEEWAY, **options).authenticate(
        request(f"Bearer {bearer}")
    )
    assert found is not None
    assert found.set_cookie is None
    return found.identity


async def refusal(bearer: str, **options: Any) -> str:
    with pytest.raises(UnauthenticatedError) as caught:
        await known(bearer, **options)
    assert SECRET not in caught.value.message
    assert "\n" not in caught.value.message
    return caught.value.message


async def test_a_valid_token():
    assert await known(token()) == Identity("ann")
    full = claims(tenant="acme", scope="read  write", name="Ann A.", iat=int(time.time()), jti="1")
    assert await known(token(full)) == Identity(
        "ann", tenant="acme", scopes=frozenset({"read", "write", "*"}), name="Ann A."
    )
    assert not (await known(token())).anonymous


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_scheme_is_not_case_sensitive(scheme: str):
    assert await JwtAuthenticator([SecretKeySet(SECRET)]).authenticate(request(f"{scheme}  {token()} "))


@pytest.mark.parametrize("authorization", [None, "", "Basic YTpi", "Bearerx y", "Token abc"])
async def test_other_credentials_are_somebody_elses_affair(authorization: str | None):
    assert await JwtAuthenticator([SecretKeySet(SECRET)]).authenticate(request(authorization)) is None


async def test_a_token_of_another_key():
    assert "not valid" in await refusal(token(key=OctKey.import_key("o" * 32)))


async def test_a_changed_payload():
    head, payload, signature = token().split(".")
    await refusal(f"{head}.{piece(claims(sub='eve'))}.{signature}")
    await refusal(f"{head}.{payload}.")
    await refusal(f"{head}.{payload}.{signature[:-4]}")
    await refusal(f"{head}.{payload}.{signature}.{signature}")


@pytest.mark.parametrize(
    ("change", "valid"),
    [
        ({"exp": 600}, True),
        ({"exp": -LEEWAY + 5}, True),
        ({"exp": -LEEWAY - 2}, False),
        ({"exp": -10_000}, False),
        ({"nbf": 0}, True),
        ({"nbf": LEEWAY - 5}, True),
        ({"nbf": LEEWAY + 5}, False),
        ({"iat": LEEWAY - 5}, True),
        ({"iat": LEEWAY + 60}, False),
    ],
)
async def test_times_within_the_leeway(change: dict[str, int], valid: bool):
    now = int(time.time())
    made = token(claims(**{name: now + seconds for name, seconds in change.items()}))
    if valid:
        assert await known(made)
    else:
        await refusal(made)


@pytest.mark.parametrize(
    "change",
    [
        {"exp": ...},
        {"exp": None},
        {"exp": "tomorrow"},
        {"exp": True},
        {"exp": float("nan")},
        {"exp": float("inf")},
        {"exp": []},
        {"nbf": "later"},
        {"sub": ...},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": ["ann"]},
        {"sub": "x" * 256},
        {"sub": "a\x00b"},
        {"tenant": 7},
        {"tenant": ""},
        {"tenant": None},
        {"tenant": "t" * 256},
        {"scope": 7},
        {"scope": ["read", 7]},
        {"scope": "read \x7f"},
        {"scope": ["a\x00b"]},
        {"exp": 10**400},
        {"exp": -1},
        {"nbf": 10**20},
        {"sub": "ann\u202e"},
        {"sub": "ann\n"},
        {"tenant": "a\u2066cme"},
        {"sub": "usr_page_0123456789abcdef01234567"},
        {"sub": "usr_0123456789abcdef0123456789abcdef"},
        # Nobody said that this server is "chat".
        {"aud": "chat"},
        {"aud": ["chat"]},
        {"scope": None},
    ],
)
async def test_claims_that_are_missing_or_of_the_wrong_kind(change: dict[str, Any]):
    await refusal(token(claims(**change)))


async def test_half_of_a_surrogate_pair_is_refused_where_it_would_be_stored():
    for claim in ("sub", "tenant", "scope"):
        await refusal(signed({"alg": "HS256"}, claims(**{claim: "a \ud800"})))


@pytest.mark.parametrize("name", [7, None, ["Ann"], {}])
async def test_a_name_of_the_wrong_kind_is_only_not_shown(name: Any):
    assert (await known(token(claims(name=name)))).name is None


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Ann \ud800", "Ann"),
        ("A\x00nn\n", "Ann"),
        ("nnA\u202e", "nnA"),
        ("\x00 ", None),
        ("", None),
        ("x" * 5000, "x" * 200),
        ("Ánn 王", "Ánn 王"),
    ],
)
async def test_a_name_is_what_can_be_stored_and_shown(name: str, shown: str | None):
    assert (await known(signed({"alg": "HS256"}, claims(name=name)))).name == shown


@pytest.mark.parametrize(
    ("change", "valid"),
    [
        ({"iss": "us", "aud": "chat"}, True),
        ({"iss": "us", "aud": ["other", "chat"]}, True),
        ({"iss": "them", "aud": "chat"}, False),
        ({"aud": "chat"}, False),
        ({"iss": "us"}, False),
        ({"iss": "us", "aud": "other"}, False),
        ({"iss": "us", "aud": []}, False),
        ({"iss": "us", "aud": ["chatter"]}, False),
        ({"iss": "us", "aud": 7}, False),
        ({"iss": ["us"], "aud": "chat"}, False),
    ],
)
async def test_issuer_and_audience(change: dict[str, Any], valid: bool):
    options = {"issuer": "us", "audiences": ["chat", "backup"]}
    if valid:
        assert await known(token(claims(**change)), **options)
    else:
        await refusal(token(claims(**change)), **options)


async def test_other_algorithms_are_refused():
    await refusal(f"{piece({'alg': 'none'})}.{piece(claims())}.")
    await refusal(f"{piece({'alg': 'None', 'typ': 'JWT'})}.{piece(claims())}.")
    await refusal(token(header={"alg": "HS512"}))
    rsa = RSAKey.generate_key(2048)
    await refusal(jwt.encode({"alg": "RS256"}, claims(), rsa, algorithms=["RS256"]))


@pytest.mark.parametrize(
    "header",
    [
        {},
        [],
        None,
        "HS256",
        {"alg": None},
        {"alg": 7},
        {"alg": ["HS256"]},
        {"alg": {"HS256": 1}},
        {"alg": "RS256"},
        {"alg": "HS256", "crit": ["exp"]},
        {"alg": "HS256", "crit": 7},
        {"alg": "HS256", "b64": False, "crit": ["b64"]},
        {"alg": "HS256", "kid": 7},
        {"alg": "HS256", "jwk": "x"},
        {"alg": "HS256", "typ": 7},
        {"alg": "HS256", "typ": "logout+jwt"},
        {"alg": "HS256", "typ": "refresh"},
        {"alg": "HS256", "typ": "dpop+jwt"},
        b"[" * 5000,
        b'{"a":' * 1200,
        b"\xff",
    ],
)
async def test_headers_that_make_no_sense(header: Any):
    await refusal(signed(header, claims()))


@pytest.mark.parametrize("payload", [[], None, 7, "ann", b"", b"{", b"\xff", b"[" * 3000])
async def test_payloads_that_make_no_sense(payload: Any):
    await refusal(signed({"alg": "HS256"}, payload))


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "application/at+jwt"])
async def test_kinds_of_tokens_that_grant_access(typ: str):
    assert await known(token(header={"alg": "HS256", "typ": typ}))


# Headers of Azure, of load balancers of AWS, and a certificate.
async def test_headers_that_issuers_add_do_no_harm():
    header = {"alg": "HS256", "nonce": "n", "signer": "arn:aws", "x5t": "x", "x5c": ["M" * 1500]}
    assert await known(signed(header, claims()))


async def test_scopes_may_be_a_list():
    assert (await known(token(claims(scope=["chat", "todos"])))).scopes == {"chat", "todos"}


async def test_claims_by_other_names():
    names = ClaimNames(user="oid", tenant="tid", scope="scp")
    made = token(claims(oid="ann", tid="acme", scp="chat", sub="pairwise"))
    assert await known(made, claims=names) == Identity("ann", tenant="acme", scopes=frozenset({"chat"}))
    await refusal(token(), claims=names)


async def test_two_headers_are_none():
    headers = [(b"authorization", f"Bearer {each}".encode()) for each in (token(), token(claims(sub="eve")))]
    with pytest.raises(UnauthenticatedError, match="one Authorization"):
        await JwtAuthenticator([SecretKeySet(SECRET)]).authenticate(
            HTTPConnection({"type": "http", "headers": headers})
        )


@pytest.mark.parametrize(
    "bearer", ["", "   ", "x", ".", "..", "...", "a.b.c", "é.é.é", "null", "{}", "=.=.="]
)
async def test_garbage(bearer: str):
    assert await refusal(bearer)


async def test_a_token_that_is_too_long_is_not_even_looked_at():
    assert "too long" in await refusal("x" * (MAX_TOKEN_CHARS + 1))
    assert "empty" in await refusal("")
    await refusal(token(claims(pad="x" * MAX_TOKEN_CHARS)))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.dictionaries(
        st.sampled_from(["exp", "nbf", "iat", "sub", "aud", "iss", "tenant", "scope"]), json_values
    )
)
async def test_no_signed_claims_are_an_unexpected_error(changes: dict[str, Any]):
    try:
        identity = await known(signed({"alg": "HS256"}, claims(**changes)), audiences=["chat"])
    except UnauthenticatedError:
        return
    assert identity.user


@given(st.text(max_size=40), st.text(max_size=40), st.binary(max_size=20))
async def test_no_token_is_an_unexpected_error(header: str, payload: str, signature: bytes):
    await refusal(f"{header}.{payload}.{piece(signature)}")
    await refusal(f"{piece(header.encode())}.{piece(payload.encode())}.{piece(signature)}")
