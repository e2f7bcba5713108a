"""Opaque tokens: a prefix that names their kind, and 256 random bits. Stores have only their SHA-256 digests."""

import hashlib
import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from typing import Literal

type SessionKind = Literal["cookie", "access", "refresh", "personal"]
"""What a session's token is: the cookie of a browser, the access or refresh token of a program (RFC 6749, section 1.4
and 1.5), or a token that a person made for their scripts."""

PREFIXES: dict[SessionKind, str] = {
    "cookie": "bc_cs_",
    "access": "bc_at_",
    "refresh": "bc_rt_",
    "personal": "bc_pat_",
}
"""By these, scanners of leaked secrets recognise a token, and no token is taken for a JWT."""

TOKEN_BYTES = 32
"""RFC 6749 section 10.10 asks for at least 128 bits, better 160."""

_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")
_ANY_PREFIX = "bc_"


def new_token(kind: SessionKind) -> str:
    """A new random token."""
    return PREFIXES[kind] + secrets.token_urlsafe(TOKEN_BYTES)


def derived_token(kind: SessionKind, key: str, former: str) -> str:
    """The token that follows the refresh token `former`. With the random `key` of its exchange, the same request gives
    the same answer again; neither the key nor the former token alone says anything about it."""
    digest = hmac.digest(key.encode(), f"{kind}:{former}".encode(), "sha256")
    return PREFIXES[kind] + urlsafe_b64encode(digest).rstrip(b"=").decode()


def is_ours(token: str) -> bool:
    """Whether a bearer token claims to be one of these, well formed or not."""
    return token.startswith(_ANY_PREFIX)


def kind_of(token: str) -> SessionKind | None:
    """The kind of a well-formed token; `None` for anything else."""
    for kind, prefix in PREFIXES.items():
        if token.startswith(prefix) and _SECRET.fullmatch(token, len(prefix)):
            return kind
    return None


def token_hash(token: str) -> str:
    """The digest under which a token is stored. Not salted or slow: nobody guesses 256 random bits."""
    return hashlib.sha256(token.encode()).hexdigest()
