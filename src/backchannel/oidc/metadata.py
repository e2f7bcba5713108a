"""The document in which a provider describes itself (OpenID Connect Discovery 1.0). Pure, no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

from backchannel.web.origins import Origin

WELL_KNOWN = "/.well-known/openid-configuration"

BASIC, POST = "client_secret_basic", "client_secret_post"


@dataclass(frozen=True, slots=True)
class ProviderMetadata:
    """What is used of the document.

    Attributes:
        end_session_endpoint: For RP-initiated logout, if the provider offers it.
        auth_methods: How clients with a secret authenticate at the token endpoint.
        names_itself: Whether each answer to an authorization request has `iss` (RFC 9207).
        code_challenges: The supported methods of PKCE; `None`: the document does not say.
    """

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    end_session_endpoint: str | None
    auth_methods: tuple[str, ...]
    names_itself: bool
    code_challenges: tuple[str, ...] | None


def discovery_url(issuer: str) -> str:
    """The address of the document of an issuer (section 4)."""
    return issuer.rstrip("/") + WELL_KNOWN


def is_protected(url: str, *, loopback: bool) -> bool:
    """Whether nobody on the way can read or change requests to a URL: it is https, or on this machine.

    Args:
        loopback: Whether http is accepted for loopback addresses.
    """
    origin = Origin.parse(url)
    if origin is None or len(url) > 2000 or urlsplit(url).fragment:
        return False
    return origin.scheme == "https" or (loopback and origin.is_loopback)


def parse_metadata(document: Any, issuer: str, *, loopback: bool) -> ProviderMetadata:
    """The metadata of a document that was fetched from an issuer.

    Args:
        loopback: See `is_protected`.

    Raises:
        ValueError: It cannot be used; the message says why.
    """
    if not isinstance(document, dict):
        raise ValueError("the document is not a JSON object")
    found = cast("Mapping[str, Any]", document)
    if found.get("issuer") != issuer:
        # Section 4.3: they must be the same, or any issuer could speak for another one.
        named = str(found.get("issuer"))[:200]
        raise ValueError(f"the document is that of {named!r}, and the setting must be exactly the same")

    def endpoint(name: str) -> str | None:
        url = found.get(name)
        return url if isinstance(url, str) and is_protected(url, loopback=loopback) else None

    needed = [endpoint(name) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")]
    authorization, token, jwks = needed
    if authorization is None or token is None or jwks is None:
        raise ValueError(
            "the document has no https:// URL as authorization_endpoint, token_endpoint or jwks_uri"
        )
    methods = _texts(found.get("token_endpoint_auth_methods_supported"))
    return ProviderMetadata(
        issuer=issuer,
        authorization_endpoint=authorization,
        token_endpoint=token,
        jwks_uri=jwks,
        userinfo_endpoint=endpoint("userinfo_endpoint"),
        end_session_endpoint=endpoint("end_session_endpoint"),
        auth_methods=(BASIC,) if methods is None else methods,
        names_itself=found.get("authorization_response_iss_parameter_supported") is True,
        code_challenges=_texts(found.get("code_challenge_methods_supported")),
    )


def _texts(value: Any) -> tuple[str, ...] | None:
    if not isinstance(value, list):
        return None
    return tuple(each for each in cast("list[Any]", value) if isinstance(each, str))
