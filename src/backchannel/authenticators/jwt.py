"""Bearer tokens: JSON Web Tokens signed with a shared key (HS256).

`sub` is the user's id, `tenant` (optional) the tenant, `scope` (optional) a space-separated list of scopes, `name`
(optional) the display name. `exp` is required; `nbf`, `iat`, `iss` and `aud` are checked according to RFC 7519.
"""

from typing import Any, override

from joserfc import jwt
from joserfc.errors import BadSignatureError, JoseError
from joserfc.jwk import OctKey
from starlette.requests import HTTPConnection

from backchannel.authenticators.base import Authenticated, Authenticator
from backchannel.context import DEFAULT_TENANT, Identity
from backchannel.errors import UnauthenticatedError

ALGORITHM = "HS256"
MAX_TOKEN_CHARS = 8192


class JwtAuthenticator(Authenticator):
    """Authenticates requests by a JWT in the `Authorization: Bearer` header.

    Args:
        secret: The shared key, at least 32 bytes.
        issuer: The required `iss`, if any.
        audience: The required `aud`, if any; a token may have further ones.
        leeway: The tolerated clock difference in seconds.
    """

    def __init__(
        self, secret: str, *, issuer: str | None = None, audience: str | None = None, leeway: int = 30
    ) -> None:
        self._key = OctKey.import_key(secret)
        expected: dict[str, Any] = {"exp": {"essential": True}, "sub": {"essential": True}}
        if issuer is not None:
            expected["iss"] = {"essential": True, "value": issuer}
        if audience is not None:
            expected["aud"] = {"essential": True, "value": audience}
        self._claims = jwt.JWTClaimsRegistry(leeway=leeway, **expected)

    @override
    async def authenticate(self, request: HTTPConnection) -> Authenticated | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        token = token.strip()
        if not token or len(token) > MAX_TOKEN_CHARS:
            raise UnauthenticatedError("The bearer token is empty or too long.")
        try:
            decoded = jwt.decode(token, self._key, algorithms=[ALGORITHM])
            self._claims.validate(decoded.claims)
            return Authenticated(_identity(decoded.claims))
        except Exception as error:
            known = isinstance(error, JoseError | ValueError)
            reason = (getattr(error, "description", "") or str(error)) if known else "it cannot be read"
            reason = "its signature is wrong" if isinstance(error, BadSignatureError) else reason
            raise UnauthenticatedError(
                f"The bearer token is not valid: {reason}".rstrip(".: ") + "."
            ) from None


def _identity(claims: dict[str, Any]) -> Identity:
    user, tenant, scope = claims["sub"], claims.get("tenant", DEFAULT_TENANT), claims.get("scope", "")
    name = claims.get("name")
    for claim, value in (("sub", user), ("tenant", tenant), ("scope", scope)):
        if not isinstance(value, str):
            raise ValueError(f"the claim {claim} must be a string")
    return Identity(
        user=user,
        tenant=tenant,
        scopes=frozenset(scope.split()),
        name=name if isinstance(name, str) else None,
    )
