"""ID tokens (OpenID Connect Core 1.0, section 3.1.3.7)."""

from typing import Any

from authlib.oidc.core import CodeIDToken
from joserfc.errors import JoseError

from backchannel.key_sets.signed_tokens import SignedTokens, reason
from backchannel.oidc.provider import Provider

ID_TYPES = frozenset({"", "jwt"})
"""Values of `typ`. Access tokens and logout tokens of the same provider have others, and are no proof of a login."""

MAX_SUBJECT_CHARS = 255


class InvalidIdTokenError(Exception):
    """An ID token does not prove the login. The message says why, and has nothing of the token."""


async def verified_claims(
    provider: Provider, token: str, *, nonce: str | None, access_token: str, leeway: int
) -> dict[str, Any]:
    """The claims of an ID token of the provider for this client.

    Only signatures with published keys are accepted: neither `none`, nor HS256, with which the client's secret, or a
    public key that is taken for a secret, would sign.

    Args:
        nonce: That of the login; `None` after a refresh, where there is none (section 12.2).
        access_token: That came with it, for `at_hash`.
        leeway: The tolerated clock difference in seconds.

    Raises:
        InvalidIdTokenError: It does not prove anything.
        UnavailableError: The provider's keys are not known now.
    """
    tokens = SignedTokens([await provider.keys()], types=ID_TYPES, kind="an ID token")
    client_id = provider.client.id
    try:
        signed = await tokens.verify(token)
        # Without `exp`, `iat` or `sub` it is refused there.
        claims: Any = CodeIDToken(
            signed.claims,
            dict(signed.header),
            options={
                "iss": {"essential": True, "value": provider.issuer},
                "aud": {"essential": True, "values": [client_id]},
            },
            params={"nonce": nonce, "client_id": client_id, "access_token": access_token},
        )
        claims.validate(leeway=leeway)
        subject = claims["sub"]
        if not isinstance(subject, str) or not 1 <= len(subject) <= MAX_SUBJECT_CHARS:
            raise ValueError("the claim sub is no id")
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise InvalidIdTokenError(reason(error)[:200]) from None
    return dict(claims)
