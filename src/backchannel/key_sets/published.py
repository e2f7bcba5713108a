"""The public keys of a document (RFC 7517, section 5) that can verify tokens."""

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, cast

import structlog
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

log = structlog.get_logger(__name__)

ALGORITHMS: Mapping[str, tuple[str, str | None]] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), ("RSA", None)),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
    "Ed25519": ("OKP", "Ed25519"),
}
"""Each algorithm with the type and the curve of its keys. Ed25519 has two names (RFC 8037, RFC 9864)."""

MIN_RSA_BITS = 2048
"""NIST SP 800-131A: shorter keys must not be trusted."""

MAX_KEYS = 100
MAX_CANDIDATES = 10
"""How many keys are tried for a token that does not name one: each costs a verification."""

_TYPES: Mapping[str, type[RSAKey | ECKey | OKPKey]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}


class PublishedKeys:
    """The usable keys of a document. The others are passed over, as RFC 7517 asks: a key of an unknown type, or for
    encryption, must not make the others useless.

    Args:
        document: The parsed JSON.

    Raises:
        ValueError: It is no key set, or no key in it is usable; the message says why.
    """

    def __init__(self, document: Any) -> None:
        entries = cast("Any", document).get("keys") if isinstance(document, dict) else None
        if not isinstance(entries, list):
            raise ValueError("it is not a JSON object with a list of keys")
        self._keys: list[tuple[dict[str, Any], Key]] = []
        refused = Counter[str]()
        for each in cast("list[Any]", entries)[:MAX_KEYS]:
            entry = _present(each)
            try:
                self._keys.append((entry, _import(entry)))
            except (ValueError, TypeError, KeyError, JoseError) as error:
                refused[str(error)[:80] or type(error).__name__] += 1
        if refused:
            log.info("keys_passed_over", usable=len(self._keys), reasons=dict(refused))
        if not self._keys:
            raise ValueError("it has no usable key for signatures")

    def __len__(self) -> int:
        return len(self._keys)

    def candidates(self, algorithm: str, key_id: str | None) -> Sequence[Key]:
        """The keys for an algorithm: with that id, else those without an id; all of them for a token without an id."""
        kind, curve = ALGORITHMS[algorithm]
        fitting = [
            (entry.get("kid"), key)
            for entry, key in self._keys
            if entry["kty"] == kind
            and (curve is None or entry.get("crv") == curve)
            and (entry.get("alg") or algorithm) in _same(algorithm)
        ]
        if key_id is None:
            return [key for _, key in fitting][:MAX_CANDIDATES]
        named = [key for name, key in fitting if name == key_id]
        return (named or [key for name, key in fitting if name is None])[:MAX_CANDIDATES]


def _same(algorithm: str) -> set[str]:
    return {"EdDSA", "Ed25519"} if algorithm in {"EdDSA", "Ed25519"} else {algorithm}


def _present(entry: Any) -> Any:
    """An entry without members that are null: some serialisers write those that are absent."""
    if not isinstance(entry, dict):
        return entry
    members = cast("dict[str, Any]", entry)
    return {name: value for name, value in members.items() if value is not None}


def _import(entry: Any) -> Key:
    """The public key of an entry.

    Raises:
        ValueError: It cannot verify signatures.
    """
    if not isinstance(entry, dict):
        raise TypeError("not an object")
    found = cast("dict[str, Any]", entry)
    kind = _TYPES.get(str(found.get("kty")))
    if kind is None:
        raise ValueError(f"type {str(found.get('kty'))[:20]}")
    if not isinstance(found.get("alg"), str | None):
        raise TypeError("its algorithm is not a text")
    if found.get("use", "sig") != "sig" or "verify" not in found.get("key_ops", ["verify"]):
        raise ValueError("not for signatures")
    # Without what is not needed: a certificate chain or a private part that is not well formed does no harm then.
    public = {name: found[name] for name in ("kty", "crv") if name in found}
    public |= {name: _base64url(found[name]) for name in ("n", "e", "x", "y") if name in found}
    if kind is RSAKey and _bits(public["n"]) < MIN_RSA_BITS:
        raise ValueError(f"shorter than {MIN_RSA_BITS} bits")
    return kind.import_key(public)


def _base64url(number: Any) -> str:
    """A number as RFC 7518, section 2, has it. Some issuers pad it, or write it in the other alphabet of base64."""
    return str(number).rstrip("=").translate(str.maketrans("+/", "-_"))


def _bits(number: str) -> int:
    """The length of a base64url-encoded number.

    Raises:
        ValueError: It is none.
    """
    return int.from_bytes(base64.urlsafe_b64decode(number + "=" * (-len(number) % 4))).bit_length()
