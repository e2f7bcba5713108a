"""Bearer tokens: JSON Web Tokens, signed with a shared key or with keys that their issuer publishes.

`exp` is required; `nbf`, `iat`, `iss` and `aud` are checked according to RFC 7519 and RFC 8725. A token for another
audience, or of a kind that grants no access (`typ`), is refused even if its signature is right.
"""

import base64
import json
import unicodedata
import warnings
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, cast, override

from joserfc import jwt
from joserfc.errors import BadSignatureError, JoseError, SecurityWarning
from joserfc.jwk import Key
from joserfc.jws import JWSRegistry
from starlette.requests import HTTPConnection

from backchannel.authenticators.anonymous import is_visitor
from backchannel.authenticators.base import Authenticated, Authenticator
from backchannel.context import ADMIN, ALL, CHAT, DEFAULT_TENANT, Identity
from backchannel.errors import UnauthenticatedError, UnavailableError
from backchannel.key_sets.base import KeySet

# RFC 9864 deprecates the name EdDSA, which issuers will use for years.
warnings.filterwarnings("ignore", message=".*EdDSA", category=SecurityWarning)

MAX_TOKEN_CHARS = 8192
MAX_HEADER_BYTES = 4096
"""joserfc allows 512, and some issuers put a certificate into the header."""

_REORDERING = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that make a text look like another one in logs and lists (Unicode Technical Report 36, section 2.5)."""

LAST_TIME = 253402300799
"""The end of the year 9999. Larger numbers, or none, come from no clock."""

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
        self._key_sets = {algorithm: keys for keys in key_sets for algorithm in keys.algorithms}
        expected: dict[str, Any] = {"exp": {"essential": True}}
        if issuer is not None:
            expected["iss"] = {"essential": True, "value": issuer}
        if audiences:
            expected["aud"] = {"essential": True, "values": list(audiences)}
        self._registry = JWSRegistry(algorithms=sorted(self._key_sets), strict_check_header=False)
        self._registry.max_header_length = MAX_HEADER_BYTES
        self._claims = jwt.JWTClaimsRegistry(leeway=leeway, **expected)
        self._has_audience = bool(audiences)
        self._names = claims or ClaimNames()
        self._scopes = frozenset({CHAT, ADMIN, *scopes})

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
            claims = await self._decode(token)
            self._check(claims)
            return Authenticated(_identity(claims, self._names, self._scopes), ambient=by_proxy)
        except UnavailableError:
            raise
        except Exception as error:
            raise UnauthenticatedError(
                f"The bearer token is not valid: {_reason(error)}".rstrip(".: ") + "."
            ) from None

    @override
    async def aclose(self) -> None:
        for keys in set(self._key_sets.values()):
            await keys.aclose()

    async def _decode(self, token: str) -> dict[str, Any]:
        header = _header(token)
        algorithm, key_id = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in self._key_sets:
            raise ValueError("its algorithm is not accepted")
        if key_id is not None and not isinstance(key_id, str):
            raise ValueError("its key id is not a text")
        if str(header.get("typ", "")).lower() not in ACCESS_TYPES:
            raise ValueError("it is not an access token")
        keys = self._key_sets[algorithm]
        claims = self._verified(token, await keys.candidates(algorithm, key_id))
        if claims is None:
            claims = self._verified(token, await keys.renewed(algorithm, key_id))
        if claims is None:
            raise BadSignatureError
        return claims

    def _verified(self, token: str, keys: Sequence[Key]) -> dict[str, Any] | None:
        """The claims, if one of the keys made the signature."""
        for key in keys:
            try:
                return jwt.decode(token, key, registry=self._registry).claims
            except BadSignatureError:
                continue
        return None

    def _check(self, claims: dict[str, Any]) -> None:
        for name in ("exp", "nbf", "iat"):
            value = claims.get(name)
            if value is not None and (
                isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LAST_TIME
            ):
                raise ValueError(f"the claim {name} is not a time")
        self._claims.validate(claims)
        if not self._has_audience and claims.get("aud") not in (None, "", []):
            raise ValueError(
                "it is for another audience; BACKCHANNEL_JWT_AUDIENCE names the one of this server"
            )


def _header(token: str) -> Mapping[str, Any]:
    """The header of a token, of which nothing is verified yet.

    Raises:
        ValueError: It cannot be read.
    """
    encoded = token.partition(".")[0]
    if len(encoded) > MAX_HEADER_BYTES * 4 // 3 + 4:
        raise ValueError("its header is too long")
    try:
        header = json.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    except (ValueError, RecursionError):
        raise ValueError("it cannot be read") from None
    if not isinstance(header, dict):
        raise ValueError("it cannot be read")
    return cast("dict[str, Any]", header)


def _identity(claims: Mapping[str, Any], names: ClaimNames, known: Set[str]) -> Identity:
    user, tenant = claims.get(names.user), claims.get(names.tenant, DEFAULT_TENANT)
    for claim, value in ((names.user, user), (names.tenant, tenant)):
        if not isinstance(value, str):
            raise ValueError(f"it has no claim {claim} that is a text")
        if any(character in _REORDERING or unicodedata.category(character) == "Cc" for character in value):
            raise ValueError(f"the claim {claim} has control characters")
    name = claims.get(names.name)
    user, tenant = cast("str", user), cast("str", tenant)
    if is_visitor(user):
        raise ValueError(f"the claim {names.user} has the form of an anonymous visitor's id")
    return Identity(
        user=user,
        tenant=tenant,
        scopes=_scopes(claims.get(names.scope, ""), names.scope, known),
        name=name if isinstance(name, str) else None,
    )


def _scopes(value: Any, claim: str, known: Set[str]) -> frozenset[str]:
    if isinstance(value, str):
        named = frozenset(value.split())
    elif isinstance(value, list) and all(isinstance(scope, str) for scope in cast("list[Any]", value)):
        named = frozenset(cast("list[str]", value))
    else:
        raise ValueError(f"the claim {claim} must be a text or a list of texts")
    return named if named & known else named | {ALL}


def _reason(error: Exception) -> str:
    if isinstance(error, BadSignatureError):
        return "its signature is wrong"
    if isinstance(error, JoseError | ValueError):
        return getattr(error, "description", "") or str(error)
    return "it cannot be read"
