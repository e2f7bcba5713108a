"""The event log in Redis 5 or newer, shared by all processes that use it. Readers get events sooner than from a
database.

Not for Redis Cluster, where one `XREAD` cannot block on the streams of several runs.
"""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import batched
from typing import Any, cast, override

import structlog
from redis.exceptions import RedisError

from backchannel.context import Identity
from backchannel.event_logs.base import JUMP, FencedError
from backchannel.event_logs.durable import CACHE_SECONDS, DurableEventLog
from backchannel.event_logs.event_buffer import Segment
from backchannel.event_logs.redis_scripts import APPEND, BEGIN, PAGE
from backchannel.event_logs.storage import (
    Page,
    Storage,
    WriteBatch,
    WriterPosition,
    decode_delta_ends,
    encode_delta_ends,
)
from backchannel.redis_client import SOCKET_SECONDS, open_client, translate_redis_errors

ABANDONED_SECONDS = 7 * 86_400
"""How long after its last event a log is deleted whose run was never ended."""

BLOCK_SECONDS = 5.0
"""How long one `XREAD` blocks, at most."""

PAUSE_PER_RUN_SECONDS, MAX_PAUSE_SECONDS = 0.0001, 0.05
"""The pause before each `XREAD`. It grows with the number of tailed runs because the call names all of them."""

CONNECTIONS = 16
MAX_ENTRIES = 500
"""The most entries of a run's stream that one call reads."""

SERVICE = "The server's event log"

log = structlog.get_logger(__name__)


class RedisEventLog(DurableEventLog):
    """Stores each run's events in a stream.

    If a restart of Redis loses data, each writer of a run in progress sends its own events again. Events of earlier
    writers and of ended runs are lost.

    Args:
        url: `redis://[:PASSWORD@]HOST:PORT/DB`, `rediss://…` or `unix://PATH`. Connections are opened on first use.
        retention: Seconds for which events stay readable after the end of their run.
        prefix: The prefix of all keys.
        cache_seconds: Seconds for which a run stays in memory after its last reader.

    Raises:
        ConfigurationError: The URL is invalid.
    """

    def __init__(
        self, url: str, *, retention: float, prefix: str = "backchannel", cache_seconds: float = CACHE_SECONDS
    ) -> None:
        super().__init__(
            RedisStorage(url, retention=retention, prefix=prefix),
            cache_seconds=min(cache_seconds, retention),
        )


class RedisStorage(Storage):
    """See `RedisEventLog`."""

    def __init__(self, url: str, *, retention: float, prefix: str) -> None:
        self._redis = open_client(url, connections=CONNECTIONS)
        self._blocking = open_client(url, socket_timeout=BLOCK_SECONDS + SOCKET_SECONDS, connections=1)
        self._prefix = prefix
        self._ttls_ms = (int(ABANDONED_SECONDS * 1000), max(int(retention * 1000), 1))
        self._interrupt_key = f"{prefix}:interrupt:{secrets.token_hex(8)}"
        self._interrupts_sent = self._interrupts_seen = 0

    @override
    async def begin(
        self, run_id: str, identity: Identity, *, fence: int, after_crash: bool
    ) -> WriterPosition:
        jump = JUMP if after_crash else 0
        last, start, ended = await self._eval(BEGIN, run_id, fence, jump, self._ttls_ms[0])
        if last < 0:
            raise FencedError(run_id)
        return WriterPosition(last, start, bool(ended))

    @override
    async def append(self, batches: Sequence[WriteBatch]) -> Mapping[str, int | None]:
        with translate_redis_errors(SERVICE):
            pipeline = self._redis.pipeline(transaction=False)
            for batch in batches:
                pipeline.eval(APPEND, 2, *self._keys(batch.run_id), *self._arguments(batch))
            answers = await pipeline.execute(raise_on_error=False)
        stored: dict[str, int | None] = {}
        for batch, answer in zip(batches, answers, strict=True):
            if isinstance(answer, int):
                stored[batch.run_id] = answer if answer >= 0 else None
            else:
                log.warning("redis_refused", run_id=batch.run_id, error=str(answer)[:200])
        return stored

    @override
    async def page(self, run_id: str, after: int) -> Page:
        found = await self._eval(PAGE, run_id, after, MAX_ENTRIES)
        if found is None:
            raise LookupError(run_id)
        last, complete, ended, entries = found
        page = _page([(entry_id, dict(batched(fields, 2, strict=True))) for entry_id, fields in entries])
        if len(entries) == MAX_ENTRIES:
            return page
        # If entries are lost, the writer will send them again: the page is then not complete up to `last`.
        complete_upto = last if complete else min(last, after)
        return Page(page.segments, max(page.last, complete_upto), bool(ended))

    @override
    async def poll(self, after: Mapping[str, int], changed: asyncio.Event) -> Mapping[str, Page | None]:
        await asyncio.sleep(min(PAUSE_PER_RUN_SECONDS * len(after), MAX_PAUSE_SECONDS))
        run_ids = {self._keys(run_id)[1].encode(): run_id for run_id in after}
        positions: dict[Any, Any] = {key: f"{after[run_id]}-0" for key, run_id in run_ids.items()}
        with translate_redis_errors(SERVICE):
            answer = await self._interruptible_read(
                {**positions, self._interrupt_key: f"{self._interrupts_seen}-0"}, changed
            )
        pages: dict[str, Page | None] = {}
        for key, entries in answer:
            if key == self._interrupt_key.encode():
                self._interrupts_seen = max(self._interrupts_seen, self._interrupts_sent)
            else:
                pages[run_ids[key]] = _page(entries)
        return pages

    @override
    async def check(self) -> None:
        with translate_redis_errors(SERVICE):
            await cast("Any", self._redis).ping()

    @override
    async def aclose(self) -> None:
        for client in (self._redis, self._blocking):
            with suppress(RedisError, OSError):
                await client.aclose()

    async def _eval(self, script: str, run_id: str, *arguments: int) -> Any:
        with translate_redis_errors(SERVICE):
            # Not `EVALSHA`: a restart of Redis loses its script cache, and the scripts are short.
            return await cast("Any", self._redis).eval(script, 2, *self._keys(run_id), *arguments)

    async def _interruptible_read(
        self, positions: dict[Any, Any], changed: asyncio.Event
    ) -> Sequence[tuple[bytes, Any]]:
        """Block until there are entries after the positions, `BLOCK_SECONDS` have passed, or `changed` is set."""
        reading = asyncio.create_task(self._read(positions))
        interrupting = asyncio.create_task(changed.wait())
        try:
            await asyncio.wait({reading, interrupting}, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                await self._interrupt()
            return await reading
        finally:
            reading.cancel()
            interrupting.cancel()
            await asyncio.wait({reading, interrupting})

    async def _read(self, positions: dict[Any, Any]) -> Sequence[tuple[bytes, Any]]:
        answer: Any = await self._blocking.xread(
            positions, count=MAX_ENTRIES, block=int(BLOCK_SECONDS * 1000)
        )
        return cast("Sequence[tuple[bytes, Any]]", answer or ())

    async def _interrupt(self) -> None:
        """End the blocking `XREAD` by an entry in a stream that it reads too. Unlike a message of Redis pub/sub, the
        entry also ends a call that arrives later."""
        self._interrupts_sent += 1
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.xadd(
            self._interrupt_key,
            {"interrupt": 1},
            id=f"{self._interrupts_sent}-0",
            maxlen=1,
            approximate=False,
        )
        pipeline.pexpire(self._interrupt_key, int(BLOCK_SECONDS * 2000))
        await pipeline.execute()

    def _keys(self, run_id: str) -> tuple[str, str]:
        return f"{self._prefix}:run:{run_id}", f"{self._prefix}:run:{run_id}:events"

    def _arguments(self, batch: WriteBatch) -> list[Any]:
        arguments: list[Any] = [batch.fence, batch.start, batch.base, batch.last, int(batch.ends_run)]
        arguments += self._ttls_ms
        for segment in batch.segments:
            # A lone surrogate becomes "?", as in `Event.body`, so that `delta_ends` stays valid.
            text = b"" if segment.text is None else segment.text.encode(errors="replace")
            ends = "" if segment.text is None else encode_delta_ends(segment)
            arguments += [segment.last, segment.head, text, ends, int(segment.plain)]
        return arguments


def _page(entries: Sequence[tuple[bytes, Mapping[bytes, bytes]]]) -> Page:
    segments: list[Segment] = []
    last, ended = 0, False
    for entry_id, fields in entries:
        last = int(entry_id.partition(b"-")[0])
        if b"end" in fields:
            ended = True
        else:
            segments.append(_segment(last, fields))
    return Page(segments, last, ended)


def _segment(last: int, fields: Mapping[bytes, bytes]) -> Segment:
    plain = fields[b"p"] == b"1"
    if b"t" not in fields:
        return Segment(last, fields[b"h"], plain)
    ends = decode_delta_ends(fields[b"e"].decode())
    return Segment(last + 1 - len(ends), fields[b"h"], plain, fields[b"t"].decode(), ends)
