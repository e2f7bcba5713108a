"""Delivery of orphaned runs by a stream in Redis 5 or newer, with all replicas in one consumer group."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, override

from redis.exceptions import RedisError, ResponseError

from backchannel.handovers.base import Delivery, Handover, Handovers
from backchannel.redis_client import SOCKET_SECONDS, open_client, translate_redis_errors

GROUP = "replicas"
SERVICE = "The delivery of orphaned runs"

BLOCK_SECONDS = 2.0
"""How long one call of `receive` blocks."""

VISIBILITY_TIMEOUT_SECONDS = 5.0
"""After so long without acknowledgement, a delivery goes to another replica: the first one may have died."""

BATCH_SIZE = 16
"""The most deliveries per call, so that the others go to other replicas."""

MAX_STREAM_LENGTH = 10_000
"""About how many offers the stream holds. Older ones are removed; maintenance finds their runs."""

IDLE_CONSUMER_SECONDS = 3600
"""How long after its last call a replica without pending deliveries is removed from the group."""


class RedisHandovers(Handovers):
    """Stores offers in one stream until they are acknowledged.

    Offers that a restart of Redis loses are found by maintenance.

    Args:
        url: See `redis_client.open_client`.
        prefix: The prefix of the stream's key.
        visibility_timeout: See `VISIBILITY_TIMEOUT_SECONDS`.

    Raises:
        ConfigurationError: The URL is invalid.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "backchannel",
        visibility_timeout: float = VISIBILITY_TIMEOUT_SECONDS,
    ) -> None:
        self._redis: Any = open_client(url, connections=2)
        self._blocking: Any = open_client(url, socket_timeout=BLOCK_SECONDS + SOCKET_SECONDS, connections=1)
        self._stream = f"{prefix}:handovers"
        self._visibility_timeout_ms = int(visibility_timeout * 1000)
        self._joined = False

    @override
    async def offer(self, handovers: Sequence[Handover]) -> None:
        if not handovers:
            return
        with translate_redis_errors(SERVICE):
            pipeline = self._redis.pipeline(transaction=False)
            for each in handovers:
                fields = {"run": each.run_id, "former": each.former or ""}
                pipeline.xadd(self._stream, fields, maxlen=MAX_STREAM_LENGTH, approximate=True)
            await pipeline.execute()

    @override
    async def receive(self, replica: str) -> Sequence[Delivery]:
        with translate_redis_errors(SERVICE):
            if not self._joined:
                await self._join()
            try:
                return await self._reclaim(replica) or await self._receive_new(replica)
            except ResponseError as error:
                if not str(error).startswith("NOGROUP"):
                    raise
                # Redis has restarted without its data.
                self._joined = False
                return ()

    @override
    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        if not deliveries:
            return
        ids = [each.id for each in deliveries]
        with translate_redis_errors(SERVICE):
            pipeline = self._redis.pipeline(transaction=True)
            pipeline.xack(self._stream, GROUP, *ids)
            pipeline.xdel(self._stream, *ids)
            await pipeline.execute()

    @override
    async def leave(self, replica: str) -> None:
        with translate_redis_errors(SERVICE):
            await self._remove_consumers(replica)

    @override
    async def aclose(self) -> None:
        for client in (self._redis, self._blocking):
            with suppress(RedisError, OSError):
                await client.aclose()

    async def _join(self) -> None:
        try:
            # From the first entry on, to receive what was offered while no replica was running.
            await self._redis.xgroup_create(self._stream, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
        self._joined = True
        # Killed replicas have not called `leave`.
        await self._remove_consumers()

    async def _remove_consumers(self, replica: str | None = None) -> None:
        """Remove a replica and those that are idle for long from the group, unless they have pending deliveries."""
        try:
            consumers = await self._redis.xinfo_consumers(self._stream, GROUP)
        except ResponseError:
            # There is no group.
            return
        for consumer in consumers:
            idle = consumer["idle"] > IDLE_CONSUMER_SECONDS * 1000
            # With a consumer, Redis deletes its pending deliveries, which others must receive first.
            if (idle or consumer["name"].decode() == replica) and consumer["pending"] == 0:
                await self._redis.xgroup_delconsumer(self._stream, GROUP, consumer["name"])

    async def _reclaim(self, replica: str) -> Sequence[Delivery]:
        pending = await self._redis.xpending_range(self._stream, GROUP, min="-", max="+", count=BATCH_SIZE)
        ids = [
            each["message_id"]
            for each in pending
            if each["time_since_delivered"] >= self._visibility_timeout_ms
        ]
        if not ids:
            return ()
        # Of several replicas, one gets each; its idle time restarts.
        claimed = await self._redis.xclaim(
            self._stream, GROUP, replica, min_idle_time=self._visibility_timeout_ms, message_ids=ids
        )
        return _deliveries(claimed)

    async def _receive_new(self, replica: str) -> Sequence[Delivery]:
        answer = await self._blocking.xreadgroup(
            GROUP, replica, {self._stream: ">"}, count=BATCH_SIZE, block=int(BLOCK_SECONDS * 1000)
        )
        return _deliveries(answer[0][1]) if answer else ()


def _deliveries(entries: Sequence[tuple[bytes, Mapping[bytes, bytes]]]) -> Sequence[Delivery]:
    return [
        Delivery(entry_id.decode(), Handover(fields[b"run"].decode(), fields[b"former"].decode() or None))
        for entry_id, fields in entries
        if fields
    ]
