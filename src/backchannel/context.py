"""The caller's identity and the request's context. Both are frozen: neither can change while a run uses it."""

import unicodedata
from asyncio import Future
from collections.abc import Awaitable, Callable, Collection, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, Self

from backchannel.errors.base import insufficient_scope_error

DEFAULT_TENANT = "default"

CHAT = "chat"
"""The scope of everything below `/api/chatkit`."""

ADMIN = "admin"
"""The scope of what operators see of all people."""

ALL = "*"
"""In place of all scopes but `ADMIN`: nothing is said about what the caller may do."""

_REORDERING = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

CREDENTIAL_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization", "x-csrf-token"})
"""Headers that agents and tools do not get."""


def known_scopes(of_application: Collection[str]) -> frozenset[str]:
    """All scopes of a server, with those of its application."""
    return frozenset({CHAT, ADMIN, *of_application})


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is calling. Every row that Backchannel keeps belongs to one `(tenant, user)` pair.

    Attributes:
        user: The user's stable id inside the tenant, 1 to 255 characters.
        tenant: The organisation the user belongs to; `"default"` where there is only one.
        scopes: What the caller may do: `"chat"`, and those of the application, with their own data; `"admin"`, to see
            what operators see. `"*"`, the default, stands for all but `"admin"`.
        anonymous: True for a visitor who never logged in.
        name: A name to show, if one is known. Never used to decide anything.
    """

    user: str
    tenant: str = DEFAULT_TENANT
    scopes: frozenset[str] = frozenset({ALL})
    anonymous: bool = False
    name: str | None = None

    @property
    def owner(self) -> tuple[str, str]:
        """The pair that rows belong to. The same person may come with another token, name or scopes."""
        return self.tenant, self.user

    def may(self, scope: str) -> bool:
        """Whether the caller has a scope."""
        return scope in self.scopes or (ALL in self.scopes and scope != ADMIN)

    def require(self, scope: str) -> None:
        """Check that the caller has a scope.

        Raises:
            InsufficientScopeError: The caller does not; over HTTP, 403.
        """
        if not self.may(scope):
            raise insufficient_scope_error(scope)

    def __post_init__(self) -> None:
        for what, value in (("user", self.user), ("tenant", self.tenant)):
            if not 1 <= len(value) <= 255 or "\x00" in value or not _is_encodable(value):
                raise ValueError(f"An identity's {what} must have 1 to 255 characters and no NUL.")


def has_hidden(text: str) -> bool:
    """Whether a text has characters that make it look like another one in logs and lists: control characters, and those
    that reorder it (Unicode Technical Report 36, section 2.5)."""
    return any(character in _REORDERING or unicodedata.category(character) == "Cc" for character in text)


def _is_encodable(text: str) -> bool:
    # Half a surrogate pair is a character to Python, but no database can keep it.
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


@dataclass(frozen=True, slots=True)
class CallUsage:
    """What one call of a model used, or several calls of one model for one purpose.

    Attributes:
        model: The name of the model.
        purpose: What it was called for: `answer`, `title` or `inner_agent`.
        input_tokens: With those that the provider had cached.
        cached_tokens: Of the input, those that the provider had cached.
        cost: In billionths of the currency's unit; `None` without `MODEL_PRICES`.
    """

    model: str
    purpose: str
    requests: int = 1
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost: int | None = None

    def __add__(self, other: "CallUsage") -> "CallUsage":
        costs = [each.cost for each in (self, other) if each.cost is not None]
        return replace(
            self,
            requests=self.requests + other.requests,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            cost=sum(costs) if costs else None,
        )


@dataclass(slots=True)
class Usage:
    """What answering used of models so far: how many requests, and how many tokens in and out.

    Attributes:
        calls: The same by model and purpose.
        unstored: Those of `calls` that are to be stored with the end of the run.
        closed: Whether that end is being stored: later calls must be stored by themselves.
        in_progress: One future for each call that the end of the run waits for.
    """

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    calls: dict[tuple[str, str], CallUsage] = field(
        default_factory=dict[tuple[str, str], CallUsage], compare=False
    )
    unstored: dict[tuple[str, str], CallUsage] = field(
        default_factory=dict[tuple[str, str], CallUsage], compare=False, repr=False
    )
    closed: bool = field(default=False, compare=False, repr=False)
    in_progress: set[Future[None]] = field(default_factory=set[Future[None]], compare=False, repr=False)

    def add(self, requests: int, input_tokens: int, output_tokens: int) -> None:
        """Book what further model calls used."""
        self.requests += requests
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens

    def record(self, call: CallUsage, *, stored: bool) -> None:
        """Book what a call used. Unless it is stored already, it is stored with the end of the run."""
        self.add(call.requests, call.input_tokens, call.output_tokens)
        key = call.model, call.purpose
        for calls in (self.calls,) if stored else (self.calls, self.unstored):
            calls[key] = calls[key] + call if key in calls else call


def _discard(_event: Mapping[str, Any]) -> None:
    pass


@dataclass(frozen=True, slots=True)
class RequestContext:
    """One request and its caller, handed to stores, agents and tools as the SDK's request context.

    Attributes:
        identity: The authenticated caller.
        request_id: `req_…`, also in the response's `X-Request-Id`, log lines and errors.
        run_id: `run_…` while a run answers this request, else `None`.
        locale: The person's active locale (`Accept-Language`), such as `"en-GB"`, if the client sent one.
        metadata: The request's own `metadata` object, which the SDK parses and drops.
        base_url: The server's public address without a trailing slash, for absolute links.
        headers: The request's headers, by lower-case name, without `CREDENTIAL_HEADERS`, which only
            `Application.context` gets. A run that was queued, or that another process began, has only those that
            `Application.context_headers` names.
        app: What `Application.context` made of this request; `None` without such a function.
        usage: The run's meter, to which every model call is added.
        publish: Adds an event for readers of the plain API only: which agent answers, which tool runs.
    """

    identity: Identity
    request_id: str = ""
    run_id: str | None = None
    locale: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    base_url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    app: Any = field(default=None, repr=False)
    usage: Usage = field(default_factory=Usage)
    publish: Callable[[Mapping[str, Any]], None] = field(default=_discard, repr=False, compare=False)
    replaced: bool = field(default=False, repr=False)

    @property
    def user_id(self) -> str:
        """The caller's user id, by the name that ChatKit samples use."""
        return self.identity.user

    @property
    def for_server(self) -> Any:
        """What the `ChatKitServer` and its store get as their context: this object or, where the application serves a
        `ChatKitServer` of its own and makes contexts itself, `app`."""
        return self.app if self.replaced else self

    def for_run(
        self,
        run_id: str,
        metadata: Mapping[str, Any],
        publish: Callable[[Mapping[str, Any]], None] = _discard,
    ) -> Self:
        """The same request, as the run `run_id` sees it."""
        return replace(self, run_id=run_id, metadata=metadata, usage=Usage(), publish=publish)


type PrepareContext = Callable[[RequestContext], Awaitable[RequestContext]]
"""Adds to a context what the application makes of it; see `RequestContext.app`."""


async def unprepared(context: RequestContext) -> RequestContext:
    """The context as it is: the application makes nothing of it."""
    return context


_current: ContextVar[Identity | None] = ContextVar("current_identity", default=None)


def set_current_identity(identity: Identity) -> None:
    """Remember the authenticated caller for the rest of this task and the tasks that it starts."""
    _current.set(identity)


@contextmanager
def current_identity_restored() -> Generator[None]:
    """Forget at the end of the block which caller was authenticated in it."""
    before = _current.get()
    try:
        yield
    finally:
        _current.set(before)


def identity_of(context: object) -> Identity:
    """The identity of the owner whose rows a store's method may touch.

    Accepts a `RequestContext` or an `Identity`. Any other object is an application's own context: it stands for the
    caller whom Backchannel authenticated for the present request or run. Outside of both, it may name its user by a
    `user_id` (and a `tenant_id`), so that code written against the SDK's samples works unchanged.

    Raises:
        TypeError: Nothing says who the owner is. There is no default.
    """
    if isinstance(context, RequestContext):
        return context.identity
    if isinstance(context, Identity):
        return context
    if (current := _current.get()) is not None:
        return current
    user = getattr(context, "user_id", None)
    if isinstance(user, str):
        tenant = getattr(context, "tenant_id", None)
        return Identity(user=user, tenant=tenant if isinstance(tenant, str) else DEFAULT_TENANT)
    raise TypeError(
        f"A request context must be a RequestContext, an Identity, or have a user_id; got {type(context)}."
    )
