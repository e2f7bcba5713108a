"""Encryption of what a login needs later, so that a copy of the database gives no access to the provider."""

import hmac
import json
from collections.abc import Mapping
from typing import Any

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey


class Sealer:
    """Encrypts small objects with a key that is derived from the server's secret (JWE, AES-256 in GCM).

    Args:
        secret: The server's secret. With another one, what was sealed before cannot be read.
    """

    def __init__(self, secret: bytes) -> None:
        self._key = OctKey.import_key(hmac.digest(secret, b"backchannel oidc", "sha256"))

    def seal(self, purpose: str, values: Mapping[str, Any]) -> str:
        """Encrypt an object.

        Args:
            purpose: What it is for, and of which row; needed to read it.
        """
        text = json.dumps({"purpose": purpose, **values}).encode()
        return jwe.encrypt_compact({"alg": "dir", "enc": "A256GCM"}, text, self._key)

    def open(self, purpose: str, sealed: str) -> Mapping[str, Any] | None:
        """The object; `None` if it is not readable with this secret, or for another purpose."""
        try:
            text = jwe.decrypt_compact(sealed, self._key).plaintext
            values: dict[str, Any] = json.loads(text or b"null")
        except (JoseError, ValueError):
            return None
        return values if values.get("purpose") == purpose else None
