"""Recognises requests that are sent again without an `Idempotency-Key`, because nothing of the response arrived.

See docs/decisions/0023-a-request-that-was-not-answered.md for what counts as a repetition and why not more.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from contextlib import suppress

from chatkit.types import StreamingReq
from starlette.requests import Request

from backchannel.context import Identity

REPEAT_SECONDS = 60
"""For how long after a request its repetition is recognised."""

MAX_UNANSWERED = 10_000
"""How many requests are remembered at most; the oldest are forgotten."""


class _Unanswered:
    def __init__(self, request: Request, now: float) -> None:
        self.request = request
        self.since = now
        self.run_id: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        # Runs that were read while this request was starting one, before `start` said which run it is.
        self.read_meanwhile = set[str]()
        # Its refusal may interest nobody.
        self.run_id.add_done_callback(lambda done: done.cancelled() or done.exception())


class UnansweredRequests:
    """The requests of this process that have started a run, or are about to, and whose response has not begun.

    A request stays in it if its connection was closed before the response began.
    """

    def __init__(self) -> None:
        self._requests: dict[str, _Unanswered] = {}
        self._by_run: dict[str, str] = {}
        self._starting = set[_Unanswered]()

    async def start(
        self,
        asked: StreamingReq,
        identity: Identity,
        request: Request,
        start: Callable[[], Awaitable[str]],
        is_active: Callable[[str], Awaitable[bool]],
    ) -> str:
        """The run that answers a request: that of an earlier identical request of the same person whose connection was
        closed before its response began, if that run is still active; otherwise the one that `start` starts.

        Raises:
            BackchannelError: Whatever `start` raises.
        """
        digest = _digest(asked, identity)
        run_id = await self._repeated(digest, is_active)
        if run_id is None:
            run_id = await self._first(digest, request, start)
        if not await request.is_disconnected():
            self.answered(run_id)
        return run_id

    def answered(self, run_id: str) -> None:
        """Note that somebody reads the events of a run: an identical message is a new one from here on."""
        digest = self._by_run.pop(run_id, None)
        if digest is not None:
            self._requests.pop(digest, None)
            return
        for each in self._starting:
            each.read_meanwhile.add(run_id)

    async def _first(self, digest: str, request: Request, start: Callable[[], Awaitable[str]]) -> str:
        unanswered = _Unanswered(request, asyncio.get_running_loop().time())
        self._forget_old(unanswered.since)
        self._requests[digest] = unanswered
        self._starting.add(unanswered)
        try:
            run_id = await start()
        except BaseException as error:
            if self._requests.get(digest) is unanswered:
                del self._requests[digest]
            unanswered.run_id.set_exception(error)
            raise
        finally:
            self._starting.remove(unanswered)
        unanswered.run_id.set_result(run_id)
        if self._requests.get(digest) is unanswered:
            if run_id in unanswered.read_meanwhile:
                del self._requests[digest]
            else:
                self._by_run[run_id] = digest
        return run_id

    async def _repeated(self, digest: str, is_active: Callable[[str], Awaitable[bool]]) -> str | None:
        earlier = self._requests.get(digest)
        if earlier is None or asyncio.get_running_loop().time() - earlier.since > REPEAT_SECONDS:
            return None
        # Somebody still waits for the response to the earlier one: this is another message.
        if not await earlier.request.is_disconnected():
            return None
        with suppress(Exception):
            run_id = await asyncio.shield(earlier.run_id)
            if self._requests.get(digest) is earlier and await is_active(run_id):
                return run_id
        return None

    def _forget_old(self, now: float) -> None:
        for digest, unanswered in list(self._requests.items()):
            if now - unanswered.since <= REPEAT_SECONDS and len(self._requests) < MAX_UNANSWERED:
                return
            del self._requests[digest]
            done = unanswered.run_id.done() and not unanswered.run_id.cancelled()
            if done and unanswered.run_id.exception() is None:
                self._by_run.pop(unanswered.run_id.result(), None)


def _digest(asked: StreamingReq, identity: Identity) -> str:
    parts = (identity.tenant, identity.user, asked.model_dump_json())
    return hashlib.sha256("\x00".join(parts).encode(errors="surrogatepass")).hexdigest()
