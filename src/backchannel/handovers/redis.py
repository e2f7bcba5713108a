"""Orphaned runs through a stream of Redis, from version 5, whose consumer group is all replicas."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, override

from redis.exceptions import RedisError, ResponseError

from backchannel.handovers.base import Delivery, Handover, Handovers
from backchannel.redis_client import SOCKET_SECONDS, open_client, reaching

GROUP = "replicas"
WHAT = "The delivery of orphaned runs"

BLOCK_SECONDS = 2.0
"""How long one call waits for a delivery."""

ABANDONED_SECONDS = 5.0
"""After so long a delivery that is not done is given to another replica: who got it may have died."""

AT_ONCE = 16
"""The most that is delivered to one replica before the others get some."""

MOST = 10_000
"""About how many offers are kept that nobody receives; older ones are left to the housekeeping."""

FORGOTTEN_SECONDS = 3600
"""How long after its last call a replica that owes nothing stays a member of the group."""


class RedisHandovers(Handovers):
    """Keeps offers in one stream until they are done.

    What a restart of Redis loses is found by housekeeping.

    Args:
        url: See `redis_client.open_client`.
        prefix: How the name of the key begins.
        abandoned: See `ABANDONED_SECONDS`.

    Raises:
        ConfigurationError: The URL is none. Nothing is connected yet.
    """

    def __init__(
        self, url: str, *, prefix: str = "backchannel", abandoned: float = ABANDONED_SECONDS
    ) -> None:
        self._redis: Any = open_client(url, connections=2)
        self._waiting: Any = open_client(url, answers_within=BLOCK_SECONDS + SOCKET_SECONDS, connections=1)
        self._stream = f"{prefix}:handovers"
        self._abandoned_ms = int(abandoned * 1000)
        self._joined = False

    @override
    async def offer(self, handovers: Sequence[Handover]) -> None:
        if not handovers:
            return
        with reaching(WHAT):
            pipeline = self._redis.pipeline(transaction=False)
            for each in handovers:
                fields = {"run": each.run_id, "former": each.former or ""}
                pipeline.xadd(self._stream, fields, maxlen=MOST, approximate=True)
            await pipeline.execute()

    @override
    async def receive(self, replica: str) -> Sequence[Delivery]:
        with reaching(WHAT):
            if not self._joined:
                await self._join()
            try:
                return await self._abandoned(replica) or await self._new(replica)
            except ResponseError as error:
                if not str(error).startswith("NOGROUP"):
                    raise
                # Redis has forgotten the group with everything else.
                self._joined = False
                return ()

    @override
    async def done(self, deliveries: Sequence[Delivery]) -> None:
        if not deliveries:
            return
        ids = [each.id for each in deliveries]
        with reaching(WHAT):
            pipeline = self._redis.pipeline(transaction=True)
            pipeline.xack(self._stream, GROUP, *ids)
            pipeline.xdel(self._stream, *ids)
            await pipeline.execute()

    @override
    async def leave(self, replica: str) -> None:
        with reaching(WHAT):
            await self._forget(named=replica)

    @override
    async def aclose(self) -> None:
        for client in (self._redis, self._waiting):
            with suppress(RedisError, OSError):
                await client.aclose()

    async def _join(self) -> None:
        try:
            # From the first entry on: what was offered while nobody lived is for whoever comes first.
            await self._redis.xgroup_create(self._stream, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
        self._joined = True
        # Those that were killed never left.
        await self._forget()

    async def _forget(self, *, named: str | None = None) -> None:
        try:
            members = await self._redis.xinfo_consumers(self._stream, GROUP)
        except ResponseError:
            # There is no group to leave.
            return
        for member in members:
            meant = member["name"].decode() == named or member["idle"] > FORGOTTEN_SECONDS * 1000
            # With a member, Redis forgets what it owes; others shall get that first.
            if meant and member["pending"] == 0:
                await self._redis.xgroup_delconsumer(self._stream, GROUP, member["name"])

    async def _abandoned(self, replica: str) -> Sequence[Delivery]:
        pending = await self._redis.xpending_range(self._stream, GROUP, min="-", max="+", count=AT_ONCE)
        ids = [each["message_id"] for each in pending if each["time_since_delivered"] >= self._abandoned_ms]
        if not ids:
            return ()
        # Redis gives each to the first who asks, and counts the time anew.
        claimed = await self._redis.xclaim(
            self._stream, GROUP, replica, min_idle_time=self._abandoned_ms, message_ids=ids
        )
        return _deliveries(claimed)

    async def _new(self, replica: str) -> Sequence[Delivery]:
        answer = await self._waiting.xreadgroup(
            GROUP, replica, {self._stream: ">"}, count=AT_ONCE, block=int(BLOCK_SECONDS * 1000)
        )
        return _deliveries(answer[0][1]) if answer else ()


def _deliveries(entries: Sequence[tuple[bytes, Mapping[bytes, bytes]]]) -> Sequence[Delivery]:
    return [
        Delivery(name.decode(), Handover(fields[b"run"].decode(), fields[b"former"].decode() or None))
        for name, fields in entries
        if fields
    ]
