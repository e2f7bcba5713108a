"""Bearer tokens: JSON Web Tokens, signed with a shared key or with keys that their issuer publishes.

`exp` is required; `nbf`, `iat`, `iss` and `aud` are checked according to RFC 7519 and RFC 8725. A token for another
audience, or of a kind that grants no access (`typ`), is refused even if its signature is right.
"""

import re
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, cast, override

from joserfc import jwt
from starlette.requests import HTTPConnection

from backchannel.authenticators.anonymous import is_visitor
from backchannel.authenticators.base import Authenticated, Authenticator
from backchannel.context import ALL, DEFAULT_TENANT, Identity, has_hidden, known_scopes
from backchannel.errors import UnauthenticatedError, UnavailableError
from backchannel.key_sets.base import KeySet
from backchannel.key_sets.signed_tokens import SignedTokens, reason

MAX_TOKEN_CHARS = 8192
ACCESS_TYPES = frozenset({"", "jwt", "at+jwt"})
"""Values of `typ` of tokens that grant access (RFC 9068, section 2.1); others, such as `logout+jwt`, do not."""

SCOPE = "scope"
SCOPE_OF_OTHERS = "scp"
"""What Okta and Microsoft call the claim of RFC 9068, section 2.2.3."""

_SEPARATORS = re.compile(r"[\s,]+")
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class ClaimNames:
    """The claims that say who a caller is; see `claim_of` for those inside others.

    Attributes:
        user: The user's id.
        tenant: The tenant, if the token has one.
        scope: The scopes: a list, or a text in which spaces or commas separate them. `scope` stands for `scp`, too.
        name: The display name.
    """

    user: str = "sub"
    tenant: str = "tenant"
    scope: str = SCOPE
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
            names. One that names none, such as `openid profile`, does not limit what its owner may do here, unless
            `claims` has another claim of the scopes than `scope`.
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
        scopes: `known_scopes`. Claims that name one of them limit the caller to what they name. Another claim than
            `scope` always does.

    Raises:
        ValueError: A claim is missing or cannot be used; the message names it.
    """
    user, tenant = claim_of(claims, names.user), claim_of(claims, names.tenant, DEFAULT_TENANT)
    for claim, value in ((names.user, user), (names.tenant, tenant)):
        if not isinstance(value, str):
            raise ValueError(f"it has no claim {claim} that is a text")
        if has_hidden(value):
            raise ValueError(f"the claim {claim} has control characters")
    if names.user == "email" and claims.get("email_verified") in (False, "false"):
        raise ValueError("the address is not verified")
    name = claim_of(claims, names.name)
    user, tenant = cast("str", user), cast("str", tenant)
    if is_visitor(user):
        raise ValueError(f"the claim {names.user} has the form of an anonymous visitor's id")
    return Identity(
        user=user,
        tenant=tenant,
        scopes=_scopes(claims, names.scope, scopes),
        name=name if isinstance(name, str) else None,
    )


def claim_of(claims: Mapping[str, Any], name: str, default: Any = None) -> Any:
    """A claim by its name, or by its path in other claims: `realm_access.roles`. A name may have dots itself, as in
    `https://example.com/roles`, and so may each part of a path."""
    if name in claims:
        return claims[name]
    for place, character in enumerate(name):
        inner = claims.get(name[:place]) if character == "." else None
        if isinstance(inner, dict):
            found = claim_of(cast("dict[str, Any]", inner), name[place + 1 :], _ABSENT)
            if found is not _ABSENT:
                return found
    return default


def _scopes(claims: Mapping[str, Any], claim: str, known: Set[str]) -> frozenset[str]:
    named = _named(claim_of(claims, claim, ""), claim)
    if claim != SCOPE:
        # Somebody has said that this claim decides, so a person without a role has none.
        return named
    named |= _named(claims.get(SCOPE_OF_OTHERS, ""), SCOPE_OF_OTHERS)
    return named if named & known else named | {ALL}


def _named(value: Any, claim: str) -> frozenset[str]:
    if isinstance(value, str):
        return frozenset(filter(None, _SEPARATORS.split(value)))
    # Names in a list are whole: roles can have spaces.
    if isinstance(value, list) and all(isinstance(scope, str) for scope in cast("list[Any]", value)):
        return frozenset(cast("list[str]", value))
    raise ValueError(f"the claim {claim} must be a text or a list of texts")
