"""Counting connections: by address, in all, and which one makes room."""

import pickle

import pytest
from structlog.testing import capture_logs

from backchannel.hosting.connection_limits import ConnectionLimits, Connections

pytestmark = pytest.mark.row("R2")


class Fake:
    closed = False

    def make_room(self) -> None:
        self.closed = True


def enter(connections: Connections, count: int, address: str | None = "192.0.2.1"):
    fakes = [Fake() for _ in range(count)]
    return fakes, [connections.enter(fake, address) for fake in fakes]


async def test_places_are_counted_by_address_and_given_back():
    connections = Connections(ConnectionLimits(connections=10, connections_per_address=2))
    _, places = enter(connections, 2)
    for place in places:
        place.work()
    assert connections.enter(Fake(), "192.0.2.1") is None
    assert connections.enter(Fake(), "192.0.2.2") is not None
    places[0].leave()
    places[0].leave()
    assert connections.count == 2
    assert connections.enter(Fake(), "192.0.2.1") is not None
    assert connections.enter(Fake(), None) is not None


async def test_the_longest_silent_connection_makes_room_before_idle_ones():
    connections = Connections(ConnectionLimits(connections=3))
    (first, second, third), places = enter(connections, 3)
    places[0].work()
    places[0].rest()
    assert connections.enter(Fake(), "192.0.2.9").work() is None
    assert [fake.closed for fake in (first, second, third)] == [False, True, False]
    assert connections.enter(Fake(), "192.0.2.9").work() is None
    assert third.closed
    assert not first.closed
    assert connections.enter(Fake(), "192.0.2.9").work() is None
    assert first.closed
    assert connections.enter(Fake(), "192.0.2.9") is None
    assert connections.count == 3


async def test_an_address_that_opens_many_at_once_closes_its_own():
    connections = Connections(ConnectionLimits(connections=10))
    other = Fake()
    enter(connections, 9)
    connections.enter(other, "192.0.2.9")
    enter(connections, 50)
    assert not other.closed
    assert connections.count == 10


async def test_an_address_with_less_than_its_share_keeps_its_own():
    connections = Connections(ConnectionLimits(connections=10))
    enter(connections, 9)
    own = Fake()
    connections.enter(own, "192.0.2.9")
    assert connections.enter(Fake(), "192.0.2.9") is not None
    assert not own.closed


async def test_an_address_that_makes_room_for_itself_is_still_counted():
    connections = Connections(ConnectionLimits(connections_per_address=1))
    for _ in range(3):
        last = connections.enter(Fake(), "192.0.2.1")
    last.work()
    assert connections.enter(Fake(), "192.0.2.1") is None
    last.leave()
    assert connections.enter(Fake(), "192.0.2.1") is not None


async def test_an_ipv6_network_is_one_client_and_a_mapped_address_is_an_ipv4_address():
    connections = Connections(ConnectionLimits(connections_per_address=1))
    connections.enter(Fake(), "2001:db8::1").work()
    assert connections.enter(Fake(), "2001:db8::ffff:2") is None
    assert connections.enter(Fake(), "2001:db8:0:1::1") is not None
    connections.enter(Fake(), "::ffff:192.0.2.1").work()
    assert connections.enter(Fake(), "192.0.2.1") is None
    assert connections.enter(Fake(), "fe80::1%eth0") is not None


async def test_exempt_addresses_are_limited_in_all_only():
    connections = Connections(
        ConnectionLimits(connections=3, connections_per_address=1, exempt="192.0.2.1".__eq__)
    )
    _, places = enter(connections, 3)
    assert None not in places
    for place in places:
        place.work()
    assert connections.enter(Fake(), "192.0.2.1") is None


async def test_the_log_has_one_line_for_many_refusals_and_names_the_setting():
    connections = Connections(ConnectionLimits(connections_per_address=1))
    connections.enter(Fake(), "192.0.2.1").work()
    with capture_logs() as logs:
        for _ in range(100):
            connections.enter(Fake(), "192.0.2.1")
    (line,) = logs
    assert line["address"] == "192.0.2.1"
    assert "BACKCHANNEL_TRUSTED_PROXIES" in line["hint"]


def test_workers_get_a_copy():
    limits = ConnectionLimits(connections=7)
    assert pickle.loads(pickle.dumps(Connections(limits))).count == 0
