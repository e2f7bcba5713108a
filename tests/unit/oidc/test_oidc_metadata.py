"""The document in which a provider describes itself: what is used of it, and what is refused."""

from typing import Any

import pytest

from backchannel.oidc.metadata import discovery_url, parse_metadata

pytestmark = pytest.mark.row("F2b")

ISSUER = "https://login.example.com/realms/main"
RIGHT = {
    "issuer": ISSUER,
    "authorization_endpoint": "https://login.example.com/authorize?x=1",
    "token_endpoint": "https://api.example.com/token",
    "jwks_uri": "https://keys.example.com/",
}


def test_what_is_left_out_has_the_defaults_of_the_specification():
    found = parse_metadata(RIGHT, ISSUER, loopback=False)
    assert found.auth_methods == ("client_secret_basic",)
    assert (found.userinfo_endpoint, found.end_session_endpoint, found.code_challenges) == (None, None, None)
    assert not found.names_itself


@pytest.mark.parametrize(
    "changed",
    [
        {"issuer": ISSUER + "/"},
        {"issuer": ISSUER.upper()},
        {"issuer": None},
        {"issuer": [ISSUER]},
        {"authorization_endpoint": "http://login.example.com/authorize"},
        {"authorization_endpoint": "http://127.0.0.1/authorize"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "https://login.example.com/#x"},
        {"authorization_endpoint": "https://user@login.example.com/"},
        {"authorization_endpoint": ["https://login.example.com/"]},
        {"token_endpoint": ""},
        {"token_endpoint": "//login.example.com/token"},
        {"token_endpoint": "https://login.example.com/" + "x" * 3000},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": None},
    ],
)
def test_a_document_that_cannot_be_used(changed: dict[str, Any]):
    with pytest.raises(ValueError, match="document"):
        parse_metadata(RIGHT | changed, ISSUER, loopback=False)


@pytest.mark.parametrize("document", [None, [], "x", 5, {}])
def test_what_is_no_document(document: Any):
    with pytest.raises(ValueError, match="document"):
        parse_metadata(document, ISSUER, loopback=False)


def test_optional_endpoints_that_are_not_protected_are_as_if_they_were_not_there():
    more = {"userinfo_endpoint": "http://x.example", "end_session_endpoint": "javascript:x"}
    found = parse_metadata({**RIGHT, **more}, ISSUER, loopback=True)
    assert (found.userinfo_endpoint, found.end_session_endpoint) == (None, None)


def test_loopback_is_accepted_in_development_only():
    local = {name: f"http://127.0.0.1:9/{name}" for name in RIGHT}
    assert parse_metadata(local, local["issuer"], loopback=True).jwks_uri == local["jwks_uri"]
    with pytest.raises(ValueError, match="https"):
        parse_metadata(local, local["issuer"], loopback=False)


@pytest.mark.parametrize("issuer", [ISSUER, ISSUER + "/"])
def test_the_address_of_the_document(issuer: str):
    assert discovery_url(issuer) == f"{ISSUER}/.well-known/openid-configuration"
