"""JSON Web Tokens whose signature is verified with key sets (RFC 7519, RFC 8725)."""

import base64
import json
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from joserfc import jwt
from joserfc.errors import BadSignatureError, JoseError, SecurityWarning
from joserfc.jwk import Key
from joserfc.jws import JWSRegistry

from backchannel.key_sets.base import KeySet

# RFC 9864 deprecates the name EdDSA, which issuers will use for years.
warnings.filterwarnings("ignore", message=".*EdDSA", category=SecurityWarning)

MAX_HEADER_BYTES = 4096
"""joserfc allows 512, and some issuers put a certificate into the header."""

LAST_TIME = 253402300799
"""The end of the year 9999. Larger numbers, or none, come from no clock."""


@dataclass(frozen=True, slots=True)
class SignedToken:
    """A token whose signature is right. Nothing else of it has been checked but that its times are times."""

    header: Mapping[str, Any]
    claims: dict[str, Any]


class SignedTokens:
    """Verifies signatures.

    Args:
        key_sets: The keys. The algorithm that the token names decides which set is asked.
        types: The accepted values of `typ`, in lower case and without `application/`; `""` is a token without one.
        kind: What a token of another type is not, for the message.
    """

    def __init__(self, key_sets: Sequence[KeySet], *, types: Collection[str], kind: str) -> None:
        self._key_sets = {algorithm: keys for keys in key_sets for algorithm in keys.algorithms}
        self._types = types
        self._kind = kind
        self._registry = JWSRegistry(algorithms=sorted(self._key_sets), strict_check_header=False)
        self._registry.max_header_length = MAX_HEADER_BYTES

    async def verify(self, token: str) -> SignedToken:
        """The token, if one of the keys made its signature.

        Raises:
            ValueError: It is malformed, of another type, or its algorithm is not accepted.
            JoseError: Its signature is wrong.
            UnavailableError: The keys are not known now. The token may be valid.
        """
        header = _header(token)
        algorithm, key_id = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in self._key_sets:
            raise ValueError("its algorithm is not accepted")
        if key_id is not None and not isinstance(key_id, str):
            raise ValueError("its key id is not a text")
        if _type(header) not in self._types:
            raise ValueError(f"it is not {self._kind}")
        keys = self._key_sets[algorithm]
        claims = self._verified(token, await keys.candidates(algorithm, key_id))
        if claims is None:
            claims = self._verified(token, await keys.renewed(algorithm, key_id))
        if claims is None:
            raise BadSignatureError
        check_times(claims)
        return SignedToken(header, claims)

    async def aclose(self) -> None:
        """Close the connections of the key sets. Idempotent."""
        for keys in set(self._key_sets.values()):
            await keys.aclose()

    def _verified(self, token: str, keys: Sequence[Key]) -> dict[str, Any] | None:
        """The claims, if one of the keys made the signature."""
        for key in keys:
            try:
                return jwt.decode(token, key, registry=self._registry).claims
            except BadSignatureError:
                continue
        return None


def check_times(claims: Mapping[str, Any]) -> None:
    """Check that the times of a token are times.

    Raises:
        ValueError: One is not; the message names it.
    """
    for name in ("exp", "nbf", "iat"):
        value = claims.get(name)
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LAST_TIME
        ):
            raise ValueError(f"the claim {name} is not a time")


def reason(error: Exception) -> str:
    """Why a token was refused, without anything of the token."""
    if isinstance(error, BadSignatureError):
        return "its signature is wrong"
    if isinstance(error, JoseError | ValueError):
        return getattr(error, "description", "") or str(error)
    return "it cannot be read"


def _type(header: Mapping[str, Any]) -> str:
    """The media type of a token, in which `application/` and the case mean nothing (RFC 7515, section 4.1.9)."""
    return str(header.get("typ", "")).lower().removeprefix("application/")


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
