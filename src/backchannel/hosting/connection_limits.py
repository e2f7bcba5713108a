"""How many connections may be open, in all and by client address, and which make room for others."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from backchannel.web.addresses import network_of

LOG_SECONDS = 10
"""The shortest time between two log lines about refusals: an attacker must not fill the log."""

_HINTS = {
    "too_many_connections": "more may be open with BACKCHANNEL_MAX_CONNECTIONS",
    "too_many_of_address": "a proxy's address belongs into BACKCHANNEL_TRUSTED_PROXIES; for clients behind one address "
    "there is BACKCHANNEL_MAX_CONNECTIONS_PER_ADDRESS",
}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What a server process allows.

    Attributes:
        header_bytes: Of the request line with all headers.
        header_seconds: For the headers to arrive.
        connections: In all.
        connections_per_address: Of one client address.
        exempt: Whether the number of connections of an address is not limited: it is a proxy's. Must be picklable.
    """

    header_bytes: int = 65_536
    header_seconds: float = 10
    connections: int = 4096
    connections_per_address: int = 512
    exempt: Callable[[str], bool] | None = None


class Removable(Protocol):
    """A connection that can be closed to make room for another."""

    def make_room(self) -> None:
        """Close at once, without an answer."""


class _Group:
    """Connections that are counted together: those of an address, or all.

    Attributes:
        count: The number of open ones.
        silent: Those that have not sent a complete request yet, the longest waiting first.
        idle: Those between two requests, the longest waiting first.
    """

    __slots__ = ("count", "idle", "silent")

    def __init__(self) -> None:
        self.count = 0
        self.silent: dict[Place, None] = {}
        self.idle: dict[Place, None] = {}


class Place:
    """An open connection, counted until it leaves."""

    __slots__ = ("_groups", "_left", "connection", "leave_address")

    def __init__(
        self, connection: Removable, groups: list[_Group], leave_address: Callable[[], None]
    ) -> None:
        self.connection = connection
        self.leave_address = leave_address
        self._groups = groups
        self._left = False
        for group in groups:
            group.count += 1
            group.silent[self] = None

    def work(self) -> None:
        """It has a request to answer."""
        for group in self._groups:
            group.silent.pop(self, None)
            group.idle.pop(self, None)

    def rest(self) -> None:
        """It has answered all its requests."""
        if not self._left:
            for group in self._groups:
                group.idle[self] = None

    def leave(self) -> None:
        """It is closed. May be repeated."""
        if not self._left:
            self._left = True
            self.work()
            for group in self._groups:
                group.count -= 1
            self.leave_address()


class Connections:
    """The open connections of a server process.

    If there are too many, the one that has waited longest without a request is closed for a new one, so that thousands
    of silent connections do not keep others out. A new one is refused only if all that are open answer requests.
    """

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._all = _Group()
        self._by_address: dict[str, _Group] = {}
        self._refused: Counter[str] = Counter()
        self._addresses: dict[str, str] = {}
        self._quiet = False

    @property
    def count(self) -> int:
        """The number of open connections."""
        return self._all.count

    def enter(self, connection: Removable, address: str | None) -> Place | None:
        """Count a new connection, if there is room or room can be made.

        Args:
            address: Of the client; `None` if it has none, as with a Unix socket.
        """
        groups = [self._all]
        key = ""
        if address is not None and not (self._limits.exempt and self._limits.exempt(address)):
            key = network_of(address) or address
            group = self._by_address.get(key) or _Group()
            if group.count >= self._limits.connections_per_address and not _make_room(group):
                self.refused("too_many_of_address", key)
                return None
            groups.insert(0, group)
        if self._all.count >= self._limits.connections and not _make_room(*self._in_order(groups)):
            self.refused("too_many_connections")
            return None
        if key:
            # Only now: making room may have removed the last connection of the address, and so its group.
            self._by_address[key] = groups[0]
        return Place(connection, groups, lambda: self._forget(key))

    def refused(self, reason: str, address: str | None = None) -> None:
        """Note a refusal. The log has one line for all within `LOG_SECONDS`."""
        self._refused[reason] += 1
        if address is not None:
            self._addresses[reason] = address
        if not self._quiet:
            self._log()

    def _in_order(self, groups: list[_Group]) -> list[_Group]:
        """An address with at least its share of the silent connections closes its own first, so that one that opens
        many at once does not close those of others."""
        own = len(groups[0].silent)
        return groups if own * len(self._by_address) >= len(self._all.silent) else groups[::-1]

    def _forget(self, key: str) -> None:
        group = self._by_address.get(key)
        if group is not None and not group.count:
            del self._by_address[key]

    def _log(self) -> None:
        self._quiet = bool(self._refused)
        for reason, count in self._refused.items():
            details = {
                "hint": _HINTS.get(reason),
                "address": self._addresses.get(reason),
            }
            log.warning(
                "connections_refused",
                reason=reason,
                count=count,
                **{name: value for name, value in details.items() if value is not None},
            )
        self._refused.clear()
        self._addresses.clear()
        if self._quiet:
            asyncio.get_running_loop().call_later(LOG_SECONDS, self._log)


def _make_room(*groups: _Group) -> bool:
    """Close the connection that is missed least, if one is waiting for a request."""
    for waiting in (*(group.silent for group in groups), *(group.idle for group in groups)):
        if waiting:
            place = next(iter(waiting))
            place.leave()
            place.connection.make_room()
            return True
    return False
