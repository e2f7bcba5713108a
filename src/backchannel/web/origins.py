"""Origins (RFC 6454), and which of them may act for a person by a cookie.

Browsers name the page that sends a request in `Sec-Fetch-Site` (Fetch Metadata, only for https and loopback servers)
and in `Origin` (on every request with an unsafe method, and on every request to another origin).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from backchannel.errors import ForbiddenError, OriginUnknownError
from backchannel.web.addresses import parse_address
from backchannel.web.forwarded import from_trusted_proxy

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing (RFC 9110, section 9.2.1), in so far as Backchannel uses them."""

_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9._-]+|\[[0-9a-f:.]+\]")
_MAX_CHARS = 300


@dataclass(frozen=True, slots=True)
class Origin:
    """A scheme, a host in lower case, and a port."""

    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Origin | None":
        """The origin that a text names, or the origin of a URL; `None` for `null` and whatever has no host."""
        if len(text) > _MAX_CHARS:
            return None
        try:
            parts = urlsplit(text.strip().lower())
            scheme, host, port = parts.scheme, _host(parts.netloc), parts.port
        except ValueError:
            return None
        if scheme not in _DEFAULT_PORTS or host is None:
            return None
        return cls(scheme, host, port or _DEFAULT_PORTS[scheme])

    @property
    def has_default_port(self) -> bool:
        """Whether the port is that of the scheme."""
        return self.port == _DEFAULT_PORTS[self.scheme]

    @property
    def is_loopback(self) -> bool:
        """Whether the host is `localhost`, a subdomain of it, or a loopback address."""
        return self.host == "localhost" or self.host.endswith(".localhost") or is_loopback(self.host)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}" + ("" if self.has_default_port else f":{self.port}")


class OriginPatterns:
    """A list of origins. `*` is every origin, and `https://*.example.com` every subdomain, but not the domain itself.

    Args:
        patterns: As `parse_pattern` accepts them.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._exact = set[Origin]()
        self._subdomains = list[Origin]()
        self.any = False
        for pattern in patterns:
            if pattern == "*":
                self.any = True
                continue
            origin = parse_pattern(pattern)
            if origin.host.startswith("*."):
                self._subdomains.append(Origin(origin.scheme, origin.host[1:], origin.port))
            else:
                self._exact.add(origin)

    def match(self, origin: Origin | None) -> bool:
        """Whether the list has the origin. `None` is only matched by `*`."""
        if self.any:
            return True
        if origin is None:
            return False
        return origin in self._exact or any(
            (origin.scheme, origin.port) == (parent.scheme, parent.port)
            and origin.host.endswith(parent.host)
            and len(origin.host) > len(parent.host)
            for parent in self._subdomains
        )


def parse_pattern(pattern: str) -> Origin:
    """The origin that a setting names, with `*.` before the host for its subdomains.

    Raises:
        ValueError: It could never match: it has a path, a query or a user, an unknown scheme, or a `*` elsewhere.
    """
    origin = Origin.parse(pattern.replace("://*.", "://", 1))
    rest = pattern.lower().partition("://")[2]
    if origin is None or any(character in rest for character in "/?#@\\ "):
        raise ValueError(f"{pattern!r} is not an origin such as https://app.example.com")
    if "*" in rest.removeprefix("*."):
        raise ValueError(
            f"{pattern!r} can never match: only a whole first label can be *, as in https://*.example.com"
        )
    if not rest.startswith("*."):
        return origin
    if "." not in origin.host or origin.host.startswith("["):
        raise ValueError(f"{pattern!r} would allow strangers: name at least a domain after *.")
    return Origin(origin.scheme, f"*.{origin.host}", origin.port)


class WriteOrigins:
    """Decides which pages may send requests that change something with a person's cookie.

    Args:
        public_url: The server's public URL, if it is set.
        allowed: Origins of other pages.
        development: Whether pages of loopback origins may, too.
    """

    def __init__(self, *, public_url: str | None, allowed: Sequence[str], development: bool) -> None:
        self._own = Origin.parse(public_url) if public_url else None
        self._allowed = OriginPatterns(allowed)
        self._development = development

    def is_same(self, request: HTTPConnection) -> bool | None:
        """Whether the page that sends a request is the server's own; `None` if the request does not say."""
        site = request.headers.get("sec-fetch-site")
        if site in {"same-origin", "none"}:
            return True
        text = request.headers.get("origin")
        if text is None:
            return None if site is None else False
        origin = Origin.parse(text)
        if origin is None:
            return False
        if site is not None:
            # A browser compares with the address that it called, which a proxy may have changed on the way here.
            return origin == self._own
        return origin == self._own or _is_called(origin, request)

    def check(self, request: HTTPConnection, *, evidence: bool = False) -> None:
        """Refuse a request with an unsafe method from a page that may not send it.

        Args:
            evidence: Whether a request that does not say where it comes from is refused too.

        Raises:
            ForbiddenError: The request must not be answered; the message names the setting that would allow it.
        """
        if request.scope.get("method", "GET") in SAFE_METHODS:
            return
        same = self.is_same(request)
        if same or (same is None and not evidence):
            return
        if same is None:
            raise OriginUnknownError
        self._check_other(request)

    def _check_other(self, request: HTTPConnection) -> None:
        text = request.headers.get("origin", "")
        origin = Origin.parse(text)
        if self._allowed.match(origin):
            return
        if self._development and origin is not None and origin.is_loopback:
            return
        if origin is None:
            raise ForbiddenError(
                "Pages without an origin (sandboxed or local files) and of other sites may not act here."
            )
        raise ForbiddenError(
            f"Pages of {origin} may not act here. Add it to BACKCHANNEL_CORS_ORIGINS if they should, or set "
            "BACKCHANNEL_PUBLIC_URL if it is the address of this server."
        )


def is_loopback(host: str) -> bool:
    """Whether a host is a loopback address, with or without the brackets of IPv6."""
    parsed = parse_address(host.strip("[]"))
    return parsed is not None and parsed.is_loopback


def _is_called(origin: Origin, request: HTTPConnection) -> bool:
    """Whether an origin is the address that a request was sent to, as far as it is known here.

    A proxy on the way may say nothing of the scheme, and may have changed the port (`proxy_set_header Host $host` drops
    it): behind a trusted proxy neither decides where it is the default or missing.
    """
    scheme = request.scope.get("scheme", "http")
    called = Origin.parse(f"{scheme}://{request.headers.get('host', '')}")
    if called is None or called.host != origin.host:
        return False
    if called == origin:
        return True
    if not from_trusted_proxy(request.scope):
        return False
    return origin.port == called.port or origin.has_default_port or called.port in _DEFAULT_PORTS.values()


def _host(netloc: str) -> str | None:
    """The host of an authority in its shortest form, without a user, a port and the dot of a full name."""
    if "@" in netloc:
        return None
    host = netloc.rpartition(":")[0] if re.search(r":\d*$", netloc) and not netloc.endswith("]") else netloc
    host = host.removesuffix(".")
    if not host.isascii():
        try:
            host = host.encode("idna").decode()
        except UnicodeError:
            return None
    return host if _HOST.fullmatch(host) else None
