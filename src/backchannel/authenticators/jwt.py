"""Bearer tokens: JSON Web Tokens, signed with a shared key or with keys that their issuer publishes.

`exp` is required; `nbf`, `iat`, `iss` and `aud` are checked according to RFC 7519 and RFC 8725. A token for another
audience, or of a kind that grants no access (`typ`), is refused even if its signature is right.
"""

import unicodedata
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, cast, override

from joserfc import jwt
from starlette.requests import HTTPConnection

from backchannel.authenticators.anonymous import is_visitor
from backchannel.authenticators.base import Authenticated, Authenticator
from backchannel.context import ALL, DEFAULT_TENANT, Identity, known_scopes
from backchannel.errors import UnauthenticatedError, UnavailableError
from backchannel.key_sets.base import KeySet
from backchannel.key_sets.signed_tokens import SignedTokens, reason

MAX_TOKEN_CHARS = 8192
MAX_NAME_CHARS = 200
_REORDERING = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that make a text look like another one in logs and lists (Unicode Technical Report 36, section 2.5)."""

ACCESS_TYPES = frozenset({"", "jwt", "at+jwt", "application/at+jwt"})
"""Values of `typ` of tokens that grant access (RFC 9068, section 2.1); others, such as `logout+jwt`, do not."""


@dataclass(frozen=True, slots=True)
class ClaimNames:
    """The claims that say who a caller is.

    Attributes:
        user: The user's id.
        tenant: The tenant, if the token has one.
        scope: The scopes: a list, or a text in which spaces separate them.
        name: The display name.
    """

    user: str = "sub"
    tenant: str = "tenant"
    scope: str = "scope"
    name: str = "name"


class JwtAuthenticator(Authenticator):
    """Authenticates requests by a JWT in the `Authorization: Bearer` header.

    Args:
        key_sets: The keys. The algorithm that the token names decides which set is asked.
        issuer: The required `iss`, if any.
        audiences: Of these the token must have one in `aud`. Without any, tokens that name an audience are refused:
            they are meant for somebody (RFC 7519, section 4.1.3).
        leeway: The tolerated clock difference in seconds.
        claims: Which claims say who the caller is.
        scopes: The scopes of the application. A token that names one of them, `chat` or `admin` has no others than it
            names. One that names none, such as `openid profile`, does not limit what its owner may do here.
        header: The header that has the token, where a proxy sends it in one of its own; without `Bearer` then.
    """

    def __init__(
        self,
        key_sets: Sequence[KeySet],
        *,
        issuer: str | None = None,
        audiences: Sequence[str] = (),
        leeway: int = 30,
        claims: ClaimNames | None = None,
        scopes: Collection[str] = (),
        header: str = "Authorization",
    ) -> None:
        self._header = header
        self._tokens = SignedTokens(key_sets, types=ACCESS_TYPES, kind="an access token")
        expected: dict[str, Any] = {"exp": {"essential": True}}
        if issuer is not None:
            expected["iss"] = {"essential": True, "value": issuer}
        if audiences:
            expected["aud"] = {"essential": True, "values": list(audiences)}
        self._claims = jwt.JWTClaimsRegistry(leeway=leeway, **expected)
        self._has_audience = bool(audiences)
        self._names = claims or ClaimNames()
        self._scopes = known_scopes(scopes)

    @override
    async def authenticate(self, request: HTTPConnection) -> Authenticated | None:
        by_proxy = self._header.lower() != "authorization"
        values = request.headers.getlist(self._header)
        scheme, _, token = (
            ("bearer", "", values[0]) if values and by_proxy else "".join(values[:1]).partition(" ")
        )
        if scheme.lower() != "bearer":
            return None
        if len(values) > 1:
            raise UnauthenticatedError(f"Send one {self._header} header.")
        token = token.strip()
        if not token or len(token) > MAX_TOKEN_CHARS:
            raise UnauthenticatedError("The bearer token is empty or too long.")
        try:
            claims = (await self._tokens.verify(token)).claims
            self._check(claims)
            return Authenticated(identity_of_claims(claims, self._names, self._scopes), ambient=by_proxy)
        except UnavailableError:
            raise
        except Exception as error:
            raise UnauthenticatedError(
                f"The bearer token is not valid: {reason(error)}".rstrip(".: ") + "."
            ) from None

    @override
    async def aclose(self) -> None:
        await self._tokens.aclose()

    def _check(self, claims: dict[str, Any]) -> None:
        self._claims.validate(claims)
        if not self._has_audience and claims.get("aud") not in (None, "", []):
            raise ValueError(
                "it is for another audience; BACKCHANNEL_JWT_AUDIENCE names the one of this server"
            )


def identity_of_claims(claims: Mapping[str, Any], names: ClaimNames, scopes: Set[str]) -> Identity:
    """The identity that verified claims describe.

    Args:
        scopes: `known_scopes`. Claims that name one of them limit the caller to what they name.

    Raises:
        ValueError: A claim is missing or cannot be used; the message names it.
    """
    user, tenant = claims.get(names.user), claims.get(names.tenant, DEFAULT_TENANT)
    for claim, value in ((names.user, user), (names.tenant, tenant)):
        if not isinstance(value, str):
            raise ValueError(f"it has no claim {claim} that is a text")
        if any(character in _REORDERING or unicodedata.category(character) == "Cc" for character in value):
            raise ValueError(f"the claim {claim} has control characters")
    user, tenant = cast("str", user), cast("str", tenant)
    if is_visitor(user):
        raise ValueError(f"the claim {names.user} has the form of an anonymous visitor's id")
    return Identity(
        user=user,
        tenant=tenant,
        scopes=_scopes(claims.get(names.scope, ""), names.scope, scopes),
        name=shown_name(claims.get(names.name)),
    )


def shown_name(claim: Any) -> str | None:
    """A name to show: without characters that are not seen, which neither a database nor JSON may be able to hold, and
    of a bounded length. `None` if nothing is left."""
    if not isinstance(claim, str):
        return None
    return "".join(filter(str.isprintable, claim)).strip()[:MAX_NAME_CHARS] or None


def _scopes(value: Any, claim: str, known: Set[str]) -> frozenset[str]:
    if isinstance(value, str):
        named = frozenset(value.split())
    elif isinstance(value, list) and all(isinstance(scope, str) for scope in cast("list[Any]", value)):
        named = frozenset(cast("list[str]", value))
    else:
        raise ValueError(f"the claim {claim} must be a text or a list of texts")
    if not all(map(str.isprintable, named)):
        raise ValueError(f"the claim {claim} has control characters")
    return named if named & known else named | {ALL}
