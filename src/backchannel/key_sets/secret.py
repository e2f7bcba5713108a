"""A key that the issuer of tokens shares with the server."""

from collections.abc import Sequence
from typing import ClassVar, override

from joserfc.jwk import Key, OctKey

from backchannel.key_sets.base import KeySet


class SecretKeySet(KeySet):
    """One shared key, for HS256.

    Args:
        secret: The key, at least 32 bytes (RFC 7518, section 3.2).
    """

    algorithms: ClassVar = frozenset({"HS256"})

    def __init__(self, secret: str) -> None:
        self._keys = (OctKey.import_key(secret),)

    @override
    async def candidates(self, algorithm: str, key_id: str | None) -> Sequence[Key]:
        # Any `kid` will do: an issuer with one key may name it as it likes.
        return self._keys
