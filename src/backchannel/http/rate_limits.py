"""Limits on the rate of requests: which requests count in which quotas, and what the responses say of it.

The address is looked at before authentication, the user and the tenant after it, and all are counted at once. A caller
that has used up a limit is remembered, so that further requests are refused before their bodies are read and before
anything is asked. See docs/decisions/0041-rate-limits.md.
"""

import json
import time
from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache
from hashlib import blake2b
from math import ceil

import structlog
from starlette.datastructures import Headers
from starlette.types import Scope

from backchannel.context import Identity
from backchannel.errors import RateLimitedError
from backchannel.http.refusals import Refused
from backchannel.limits.base import Count, RateLimiter
from backchannel.limits.rules import Group, Limit, Rules, Subject
from backchannel.limits.waits import spoken
from backchannel.web.addresses import network_of
from backchannel.web.forwarded import from_trusted_proxy

log = structlog.get_logger(__name__)

_LIMITED = ("/api/", "/auth/")
_RUNS = "/api/chatkit/runs/"
_STARTING = frozenset({"/api/chatkit", "/api/chatkit/stream"})
_LOGINS = frozenset({"/auth/login", "/auth/token", "/auth/callback"})

_MESSAGES: dict[Subject, str] = {
    "user": "You have sent too many requests.",
    "address": "Too many requests come from your network.",
    "tenant": "Your organisation has sent too many requests.",
}
_UNITS = {1: "second", 60: "minute", 3600: "hour", 86_400: "day"}

_network_of = lru_cache(maxsize=8192)(network_of)


class RateLimits:
    """The limits of a server.

    Args:
        limiter: Counts the requests.
        rules: What is limited.
        credential_headers: Lower-case names of all headers by which callers are identified; `None` if that is not
            known, because the application does it.
        clock: Seconds of a clock that never goes back.
    """

    def __init__(
        self,
        limiter: RateLimiter,
        rules: Rules,
        credential_headers: frozenset[bytes] | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limiter = limiter
        self.rules = rules
        self.credential_headers = credential_headers
        self.refused = Refused(clock)
        self._warned = False

    def begin(self, scope: Scope) -> "LimitedRequest | None":
        """The limits of a request; `None` if it has none: pages, files, health checks and metrics."""
        path: str = scope["path"].removeprefix(scope.get("root_path", ""))
        if not path.startswith(_LIMITED) or scope["method"] == "OPTIONS":
            return None
        return LimitedRequest(self, scope, path)

    def warn_of_proxy(self, scope: Scope) -> None:
        """Log, once, that requests of a proxy that is not trusted are limited as those of one client."""
        if self._warned or from_trusted_proxy(scope):
            return
        if any(name == b"x-forwarded-for" for name, _ in scope["headers"]):
            self._warned = True
            log.warning(
                "address_limit_of_untrusted_proxy",
                hint="All clients of this proxy count as one: name it in BACKCHANNEL_TRUSTED_PROXIES.",
            )


class LimitedRequest:
    """One request that is limited.

    Attributes:
        by_address_first: Whether the address is counted before anything else: at logins.
        headers: For the response, once the request is counted or refused.
    """

    def __init__(self, limits: RateLimits, scope: Scope, path: str) -> None:
        self._limits = limits
        self._scope = scope
        self._group: Group = _group(scope, path)
        client: tuple[str, int] | None = scope.get("client")
        # Empty if it is unknown, as on a Unix socket: one limit for all clients would lock them out.
        self._network = _network_of(client[0]) if client else ""
        self._counted = False
        self.by_address_first = path in _LOGINS and (scope["method"] == "POST" or path == "/auth/callback")
        self.headers: Sequence[tuple[str, str]] = ()

    def early_refusal(self) -> "EarlyRefusal | None":
        """The response if the caller has used up a limit before."""
        refused = self._limits.refused
        if not refused:
            return None
        caller = self._address
        found = refused.find(caller)
        if found is None and not self.by_address_first:
            caller = self._credentials()
            found = refused.find(caller) if caller is not None else None
        if found is None:
            return None
        self._counted = True
        seconds, limit = found
        if refused.is_first(caller):
            self._report(limit, seconds)
        return _early_refusal(limit, _whole(seconds))

    async def count_address(self) -> None:
        """Count the request of a caller who is not known.

        Raises:
            RateLimitedError: It is refused.
        """
        if not self._counted:
            await self._count(self._of_address())

    async def count_caller(self, identity: Identity, *, new_visitor: bool) -> None:
        """Count the request of a caller who is.

        Args:
            new_visitor: Whether the caller has no credentials, so that each request makes another visitor of it.

        Raises:
            RateLimitedError: It is refused.
        """
        if self._counted:
            return
        rules, group = self._limits.rules, self._group
        user = (identity.tenant, identity.user)
        if new_visitor and self._network:
            user = (identity.tenant, "", self._network)
        limits = [
            *rules.limits(group, "user", *user),
            *self._of_address(),
            *rules.limits(group, "tenant", identity.tenant),
        ]
        await self._count(limits)

    async def count_response(self) -> None:
        """Count a request whose response begins and which was not counted: its endpoint asks for no caller, or there
        is none. Whether there was room matters for the next one."""
        try:
            await self.count_address()
        except RateLimitedError:
            return

    async def _count(self, limits: Sequence[Limit]) -> None:
        self._counted = True
        if not limits:
            return
        taken = await self._limits.limiter.take([limit.quota for limit in limits])
        limit, count = limits[0], taken.counts[0]
        for each, state in zip(limits, taken.counts, strict=True):
            if state.wait > 0:
                self._remember(each, state)
            # Whichever has the longest wait, else the least left.
            if (state.wait, -state.remaining) > (count.wait, -count.remaining):
                limit, count = each, state
        if not taken.accepted:
            if (caller := self._caller(limit)) is None or self._limits.refused.is_first(caller):
                self._report(limit, count.wait)
            raise self._refuse(limit, count, limits)
        self.headers = _headers(limit, count, limits)

    def _refuse(self, limit: Limit, count: Count, limits: Sequence[Limit]) -> RateLimitedError:
        self.headers = _headers(limit, count, limits)
        return _error(limit, _whole(count.wait))

    def _remember(self, limit: Limit, count: Count) -> None:
        if (caller := self._caller(limit)) is not None:
            self._limits.refused.add(caller, count.wait, limit)

    def _caller(self, limit: Limit) -> Hashable | None:
        return self._address if limit.subject == "address" else self._credentials()

    def _report(self, limit: Limit, seconds: float) -> None:
        log.info("rate_limited", limit=limit.subject, seconds=_whole(seconds))
        if limit.subject == "address":
            self._limits.warn_of_proxy(self._scope)

    def _of_address(self) -> Sequence[Limit]:
        return self._limits.rules.limits(self._group, "address", self._network) if self._network else ()

    @property
    def _address(self) -> Hashable:
        return self._group, self._network

    def _credentials(self) -> Hashable | None:
        """A digest of everything by which the caller is identified. What another address sends, or a client that is not
        the proxy, is another caller: nobody can have others refused."""
        names = self._limits.credential_headers
        if names is None:
            return None
        found = [b"%b: %b\n" % pair for pair in self._scope["headers"] if pair[0] in names]
        if not found and not self._network:
            return None
        place = f"{self._group}\n{self._network}\n{from_trusted_proxy(self._scope)}\n"
        return blake2b(b"".join([place.encode(), *found]), digest_size=16).digest()


class EarlyRefusal:
    """A response to requests that are not looked at. Those of one second differ only by their ids.

    Attributes:
        headers: All but the request's id, the length and those of every response, as ASGI has them.
    """

    def __init__(self, error: RateLimitedError, headers: Sequence[tuple[str, str]]) -> None:
        named = [("content-type", "application/json"), ("retry-after", str(error.retry_after)), *headers]
        self.headers = [(name.lower().encode(), value.encode()) for name, value in named]
        body = json.dumps({"code": error.code, "message": error.message, "request_id": ""})
        self._begin, self._end = body.encode().removesuffix(b'"}'), b'"}'

    def body(self, request_id: str) -> bytes:
        """The body, in the form of `errors.error_response`."""
        return self._begin + request_id.encode() + self._end


@lru_cache(maxsize=1024)
def _early_refusal(limit: Limit, seconds: int) -> EarlyRefusal:
    return EarlyRefusal(_error(limit, seconds), _headers(limit, Count(0, seconds, seconds), [limit]))


def _error(limit: Limit, seconds: int) -> RateLimitedError:
    message = f"{_MESSAGES[limit.subject]} Try again in {spoken(seconds)}."
    return RateLimitedError(message, retry_after=seconds)


def _whole(seconds: float) -> int:
    # Without the one millisecond by which a wait is longer than a window: no request arrives sooner than that.
    return max(1, ceil(round(seconds - 0.001, 3)))


def _group(scope: Scope, path: str) -> Group:
    if path.startswith(_RUNS) or path == "/auth/logout":
        return "follow"
    # With the position of an earlier stream a run is only followed. The endpoint reads the first header, and a blank
    # one names no position: it would start a run.
    if path in _STARTING and (Headers(scope=scope).get("last-event-id") or "").strip():
        return "follow"
    return "request"


def _headers(limit: Limit, count: Count, limits: Sequence[Limit]) -> Sequence[tuple[str, str]]:
    """Of the limit with the least left: the fields of most servers, and those of the IETF's draft 10."""
    reset = str(_whole(count.wait or count.reset))
    return (
        ("RateLimit-Limit", str(limit.quota.amount)),
        ("RateLimit-Remaining", str(count.remaining)),
        ("RateLimit-Reset", reset),
        ("RateLimit-Policy", _policy(*[(each.subject, *each.quota[1:]) for each in limits])),
        ("RateLimit", f'"{_name(limit.subject, limit.quota.seconds)}";r={count.remaining};t={reset}'),
    )


@lru_cache(maxsize=64)
def _policy(*limits: tuple[Subject, int, int]) -> str:
    return ", ".join(f'"{_name(name, seconds)}";q={amount};w={seconds}' for name, amount, seconds in limits)


def _name(subject: Subject, seconds: int) -> str:
    return f"{subject}-{_UNITS[seconds]}"
