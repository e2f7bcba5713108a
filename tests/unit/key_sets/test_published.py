"""Which keys of a published document verify which tokens."""

from typing import Any

import pytest
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from backchannel.key_sets.published import MAX_CANDIDATES, PublishedKeys

pytestmark = pytest.mark.row("F1", "F1b")

RSA = RSAKey.generate_key(2048)
RSA_2 = RSAKey.generate_key(2048)
EC = ECKey.generate_key("P-256")
ED = OKPKey.generate_key("Ed25519")


def public(key: Any, **members: Any) -> dict[str, Any]:
    return {**key.as_dict(private=False), **members}


def shown(found: Any) -> list[dict[str, Any]]:
    return [{name: key.as_dict(private=False).get(name) for name in ("n", "x")} for key in found]


def same(found: Any, *keys: Key) -> bool:
    return shown(found) == shown(keys)


def test_a_key_is_found_by_its_id() -> None:
    keys = PublishedKeys({"keys": [public(RSA, kid="a"), public(RSA_2, kid="b"), public(EC, kid="a")]})
    assert same(keys.candidates("RS256", "a"), RSA)
    assert same(keys.candidates("RS256", "b"), RSA_2)
    # joken-elixir/joken_jwks#37: one id may stand for keys of several types.
    assert same(keys.candidates("ES256", "a"), EC)
    assert keys.candidates("ES256", "b") == []
    assert keys.candidates("EdDSA", "a") == []


# jpadilla/pyjwt#1072, latchset/jwcrypto#143, dadrus/heimdall#99: neither tokens nor keys need an id.
def test_a_token_without_an_id_is_tried_with_every_key_of_its_kind() -> None:
    keys = PublishedKeys({"keys": [public(RSA, kid="a"), public(RSA_2), public(EC, kid="c")]})
    assert same(keys.candidates("RS256", None), RSA, RSA_2)
    assert same(keys.candidates("ES256", None), EC)


# google/jwt_verify_lib#65: a key without an id fits a token that names one.
def test_a_key_without_an_id_fits_any_token() -> None:
    keys = PublishedKeys({"keys": [public(RSA, kid="a"), public(RSA_2)]})
    assert same(keys.candidates("RS256", "new"), RSA_2)
    assert same(keys.candidates("RS256", "a"), RSA)


# spring-attic/spring-security-oauth#1213, #1470, FusionAuth/fusionauth-jwt#80, nextcloud/user_oidc#1333,
# envoyproxy/envoy#9426: one key of another kind made the whole set useless.
@pytest.mark.parametrize(
    "other",
    [
        {"kty": "AKP", "alg": "ML-DSA-65", "pub": "AAAA", "kid": "a"},
        {"kty": "EC", "crv": "P-512", "x": "AAAA", "y": "AAAA", "kid": "a"},
        {"kty": "OKP", "crv": "X25519", "x": "AAAA", "kid": "a"},
        {"kty": "RSA", "n": "!", "e": "AQAB", "kid": "a"},
        {"kty": "RSA", "kid": "a"},
        {"kty": 7},
        {},
        [],
        None,
        "key",
        {**public(RSA_2, kid="a"), "use": "enc"},
        {**public(RSA_2, kid="a"), "alg": ["RS256"]},
        {**public(RSA_2, kid="a"), "alg": {}},
        {**public(RSA_2, kid="a"), "key_ops": ["encrypt"]},
        {"kty": "RSA", "n": "AQ" + "A" * 170, "e": "AQAB", "kid": "a"},
        {**OctKey.import_key("s" * 32).as_dict(), "kid": "a", "alg": "HS256"},
    ],
)
def test_keys_that_cannot_be_used_are_passed_over(other: Any) -> None:
    keys = PublishedKeys({"keys": [other, public(RSA, kid="a")]})
    assert same(keys.candidates("RS256", "a"), RSA)
    with pytest.raises(ValueError, match="no usable key"):
        PublishedKeys({"keys": [other]})


def test_a_key_with_needless_members_that_are_broken_is_used() -> None:
    keys = PublishedKeys({"keys": [public(RSA, kid="a", x5c=["broken"], x5t=7, oth="x", d="private")]})
    assert same(keys.candidates("RS256", "a"), RSA)


def test_a_key_for_one_algorithm_is_for_no_other() -> None:
    keys = PublishedKeys({"keys": [public(RSA, kid="a", alg="RS512"), public(ED, kid="b", alg="EdDSA")]})
    assert keys.candidates("RS256", "a") == []
    assert same(keys.candidates("RS512", "a"), RSA)
    assert same(keys.candidates("Ed25519", "b"), ED)


def test_an_algorithm_that_is_null_is_none() -> None:
    assert same(PublishedKeys({"keys": [public(RSA, kid="a", alg=None)]}).candidates("RS256", "a"), RSA)


@pytest.mark.parametrize("document", [None, [], "keys", {}, {"keys": {}}, {"keys": "x"}, {"keys": []}, 7])
def test_what_is_no_key_set(document: Any) -> None:
    with pytest.raises(ValueError, match=r"list of keys|no usable key"):
        PublishedKeys(document)


def test_a_token_without_an_id_costs_a_bounded_number_of_verifications() -> None:
    keys = PublishedKeys({"keys": [public(EC) for _ in range(60)]})
    assert len(keys.candidates("ES256", None)) == MAX_CANDIDATES
