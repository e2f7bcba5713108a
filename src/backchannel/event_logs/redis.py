"""The event log in Redis, from version 5: shared by every process that uses it, and faster to follow than a database.

Not for Redis Cluster, where one call cannot wait for several runs.
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
from backchannel.event_logs.durable import LINGER, DurableEventLog
from backchannel.event_logs.event_buffer import Segment
from backchannel.event_logs.redis_scripts import APPEND, BEGIN, PAGE
from backchannel.event_logs.storage import Page, Storage, WriteBatch, WriterPosition, read_ends, written_ends
from backchannel.redis_client import SOCKET_SECONDS, open_client, reaching

ABANDONED_SECONDS = 7 * 86_400
"""How long after its last event a log is kept that nobody ends."""

BLOCK_SECONDS = 5.0
"""How long one call waits for news, at most."""

GATHER_SECONDS, MAX_GATHER_SECONDS = 0.0001, 0.05
"""How long news are gathered between two such calls, for each run that is followed: every call names all of them."""

CONNECTIONS = 16
ROWS = 500
"""The most entries of a run that one call reads."""

THE_LOG = "The server's event log"

log = structlog.get_logger(__name__)


class RedisEventLog(DurableEventLog):
    """Keeps each run's events in a stream.

    What a restart of Redis loses is told again by the writers of runs that go on, as far as they know it: all they
    have said themselves. Runs that have ended are lost with it.

    Args:
        url: `redis://[:PASSWORD@]HOST:PORT/DB`, `rediss://…` or `unix://PATH`.
        retention: Seconds that a run's events outlive it.
        prefix: How the names of all keys begin.
        linger: Seconds that a run stays in memory after its last reader.

    Raises:
        ConfigurationError: The URL is none. Nothing is connected yet.
    """

    def __init__(
        self, url: str, *, retention: float, prefix: str = "backchannel", linger: float = LINGER
    ) -> None:
        super().__init__(RedisStorage(url, retention=retention, prefix=prefix), linger=min(linger, retention))


class RedisStorage(Storage):
    """See `RedisEventLog`."""

    def __init__(self, url: str, *, retention: float, prefix: str) -> None:
        self._redis = open_client(url, connections=CONNECTIONS)
        self._waiting = open_client(url, answers_within=BLOCK_SECONDS + SOCKET_SECONDS, connections=1)
        self._prefix = prefix
        self._lasts = (int(ABANDONED_SECONDS * 1000), max(int(retention * 1000), 1))
        self._bell = f"{prefix}:bell:{secrets.token_hex(8)}"
        self._rung = self._heard = 0

    @override
    async def begin(
        self, run_id: str, identity: Identity, *, fence: int, after_crash: bool
    ) -> WriterPosition:
        jump = JUMP if after_crash else 0
        last, start, ended = await self._eval(BEGIN, run_id, fence, jump, self._lasts[0])
        if last < 0:
            raise FencedError(run_id)
        return WriterPosition(last, start, bool(ended))

    @override
    async def append(self, batches: Sequence[WriteBatch]) -> Mapping[str, int | None]:
        with reaching(THE_LOG):
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
        found = await self._eval(PAGE, run_id, after, ROWS)
        if found is None:
            raise LookupError(run_id)
        last, there, ended, entries = found
        page = _page([(name, dict(batched(fields, 2, strict=True))) for name, fields in entries])
        if len(entries) == ROWS:
            return page
        # Where some of the stream is lost, its writer will tell it again: then this is not all up to `last`.
        known = last if there else min(last, after)
        return Page(page.segments, max(page.last, known), bool(ended))

    @override
    async def news(self, after: Mapping[str, int], changed: asyncio.Event) -> Mapping[str, Page | None]:
        await asyncio.sleep(min(GATHER_SECONDS * len(after), MAX_GATHER_SECONDS))
        names = {self._keys(run_id)[1].encode(): run_id for run_id in after}
        positions: dict[Any, Any] = {name: f"{after[run_id]}-0" for name, run_id in names.items()}
        with reaching(THE_LOG):
            answer = await self._until_rung({**positions, self._bell: f"{self._heard}-0"}, changed)
        news: dict[str, Page | None] = {}
        for name, entries in answer:
            if name == self._bell.encode():
                self._heard = max(self._heard, self._rung)
            else:
                news[names[name]] = _page(entries)
        return news

    @override
    async def check(self) -> None:
        with reaching(THE_LOG):
            await cast("Any", self._redis).ping()

    @override
    async def aclose(self) -> None:
        for client in (self._redis, self._waiting):
            with suppress(RedisError, OSError):
                await client.aclose()

    async def _eval(self, script: str, run_id: str, *arguments: int) -> Any:
        with reaching(THE_LOG):
            # Not by its digest, which a restart of Redis forgets; the script is short.
            return await cast("Any", self._redis).eval(script, 2, *self._keys(run_id), *arguments)

    async def _until_rung(
        self, positions: dict[Any, Any], changed: asyncio.Event
    ) -> Sequence[tuple[bytes, Any]]:
        """Wait for entries after the positions, until there are any, time is up, or other runs are of interest."""
        reading = asyncio.create_task(self._read(positions))
        waking = asyncio.create_task(changed.wait())
        try:
            await asyncio.wait({reading, waking}, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                await self._ring()
            return await reading
        finally:
            reading.cancel()
            waking.cancel()
            await asyncio.wait({reading, waking})

    async def _read(self, positions: dict[Any, Any]) -> Sequence[tuple[bytes, Any]]:
        answer: Any = await self._waiting.xread(positions, count=ROWS, block=int(BLOCK_SECONDS * 1000))
        return cast("Sequence[tuple[bytes, Any]]", answer or ())

    async def _ring(self) -> None:
        """End the call that waits. A stream of its own does it, which nobody can miss: one that is rung before the
        call has arrived is heard by it too."""
        self._rung += 1
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.xadd(self._bell, {"rung": 1}, id=f"{self._rung}-0", maxlen=1, approximate=False)
        pipeline.pexpire(self._bell, int(BLOCK_SECONDS * 2000))
        await pipeline.execute()

    def _keys(self, run_id: str) -> tuple[str, str]:
        return f"{self._prefix}:run:{run_id}", f"{self._prefix}:run:{run_id}:events"

    def _arguments(self, batch: WriteBatch) -> list[Any]:
        arguments: list[Any] = [batch.fence, batch.start, batch.base, batch.last, int(batch.ends)]
        arguments += self._lasts
        for segment in batch.segments:
            # Half surrogates have no UTF-8. They become what clients get instead, which is as long.
            text = b"" if segment.text is None else segment.text.encode(errors="replace")
            ends = "" if segment.text is None else written_ends(segment)
            arguments += [segment.last, segment.head, text, ends, int(segment.plain)]
        return arguments


def _page(entries: Sequence[tuple[bytes, Mapping[bytes, bytes]]]) -> Page:
    segments: list[Segment] = []
    last, ended = 0, False
    for name, fields in entries:
        last = int(name.partition(b"-")[0])
        if b"end" in fields:
            ended = True
        else:
            segments.append(_segment(last, fields))
    return Page(segments, last, ended)


def _segment(last: int, fields: Mapping[bytes, bytes]) -> Segment:
    plain = fields[b"p"] == b"1"
    if b"t" not in fields:
        return Segment(last, fields[b"h"], plain)
    ends = read_ends(fields[b"e"].decode())
    return Segment(last + 1 - len(ends), fields[b"h"], plain, fields[b"t"].decode(), ends)
