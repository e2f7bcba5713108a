"""What a trusted proxy says about the request that it forwards: `X-Forwarded-For`, `-Proto`, `-Host` and `-Port`.

nginx, Caddy, Traefik, HAProxy and the load balancers of clouds send them. `Forwarded` (RFC 7239) is not read: a proxy
that does not know it passes on what a client made up.
"""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

from starlette.types import ASGIApp, Receive, Scope, Send

from backchannel.web.addresses import parse_address

PEER = "backchannel.peer"
"""Key of the scope: the address that the request came from, if it is that of a trusted proxy."""

type _Network = IPv4Network | IPv6Network

_MAX_HOPS = 20


class TrustedProxies:
    """Addresses whose `X-Forwarded-*` headers count.

    Args:
        networks: IP addresses, networks in CIDR notation, `unix` for connections through a Unix socket, or `*` for all
            that connect.

    Raises:
        ValueError: One is none of these.
    """

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = list[_Network]()
        self._unix = self._any = False
        for network in networks:
            match network:
                case "*":
                    self._any = True
                case "unix":
                    self._unix = True
                case _:
                    self._networks.append(ip_network(network, strict=False))
        # `0.0.0.0/0` says no more than `*` of who is a proxy.
        self._named = [each for each in self._networks if each.prefixlen > 0]

    @property
    def everybody(self) -> bool:
        """Whether every client counts as a proxy."""
        return self._any or len(self._named) < len(self._networks)

    def has(self, address: str | None) -> bool:
        """Whether an address is trusted; `None` is that of a Unix socket."""
        if self._any:
            return True
        if address is None:
            return self._unix
        return _is_in(self._networks, _parse(address))

    def names(self, address: IPv4Address | IPv6Address) -> bool:
        """Whether an address is known to be a proxy's. Where all are trusted none is known: `*` says that whoever
        connects is a proxy, and nothing of the addresses that it passes on, which a client may have made up."""
        return _is_in(self._named, address)


class ForwardedHeaders:
    """ASGI middleware: after it, `client`, `scheme` and the header `Host` are those of the client's own request.

    Headers of a client that is not a trusted proxy change nothing. Of several addresses in `X-Forwarded-For`, the last
    one counts that is not named as a trusted proxy; those before it may be made up.
    """

    def __init__(self, app: ASGIApp, *, trusted: TrustedProxies) -> None:
        self._app = app
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in {"http", "websocket"}:
            self._apply(scope)
        await self._app(scope, receive, send)

    def _apply(self, scope: Scope) -> None:
        client: tuple[str, int] | None = scope.get("client")
        peer = client[0] if client else None
        if not self._trusted.has(peer or None):
            return
        scope[PEER] = peer or "unix"
        found = _forwarded(scope["headers"])
        if not found:
            return
        index, address = self._client(found.get(b"x-forwarded-for", []))
        if address is not None:
            scope["client"] = (address, 0)
        hops = len(found.get(b"x-forwarded-for", []))

        def value(name: bytes) -> str:
            values = found.get(name, [])
            # Proxies that append do so to each header: the values of one hop have the same place.
            return (values[index] if len(values) == hops else values[-1]) if values else ""

        scheme = value(b"x-forwarded-proto").lower()
        if scheme in {"http", "https"}:
            scope["scheme"] = scheme if scope["type"] == "http" else {"http": "ws", "https": "wss"}[scheme]
        _set_host(scope, value(b"x-forwarded-host"), value(b"x-forwarded-port"))

    def _client(self, addresses: Sequence[str]) -> tuple[int, str | None]:
        """The client's address and its place in the list. An unreadable one ends the search: it is not known."""
        for place in range(len(addresses) - 1, -1, -1):
            parsed = _parse(addresses[place])
            if parsed is None:
                return place, None
            if place == 0 or not self._trusted.names(parsed):
                return place, str(parsed)
        return 0, None


def from_trusted_proxy(scope: Scope) -> bool:
    """Whether the request came from the address of a trusted proxy."""
    return PEER in scope


def _is_in(networks: Iterable[_Network], address: IPv4Address | IPv6Address | None) -> bool:
    return address is not None and any(address in network for network in networks)


def _forwarded(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, list[str]]:
    found: dict[bytes, list[str]] = {}
    for name, raw in headers:
        if name.startswith(b"x-forwarded-"):
            values = [value.strip() for value in raw.decode("latin-1").split(",")]
            found.setdefault(name, []).extend(value for value in values if value)
    return {name: values[-_MAX_HOPS:] for name, values in found.items() if values}


def _parse(address: str) -> IPv4Address | IPv6Address | None:
    """An address as headers have it: perhaps with quotes, brackets and a port."""
    text = address.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    return parse_address(text)


def _set_host(scope: Scope, host: str, port: str) -> None:
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    current = next((value.decode("latin-1") for name, value in headers if name == b"host"), "")
    host = host or current
    if port.isdecimal() and ":" not in host.rpartition("]")[2]:
        host = f"{host}:{port}"
    # Whatever is no host stays what the proxy called: a host that was made up must not get into links.
    if host == current or not host or any(character in host for character in "/\\?#@ \t\r\n"):
        return
    scope["headers"] = [(name, value) for name, value in headers if name != b"host"] + [
        (b"host", host.encode("latin-1"))
    ]
