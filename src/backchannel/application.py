"""`Application`: what somebody hands over to be served, and whatever of it differs from the settings."""

import functools
import inspect
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, cast

from agents import Agent, Model, ModelProvider, RunConfig, RunErrorHandlers
from chatkit.agents import ThreadItemConverter
from chatkit.server import ChatKitServer
from chatkit.store import AttachmentStore
from fastapi import APIRouter
from starlette.requests import Request

from backchannel.authenticators.base import Authenticator
from backchannel.chat.agent.answer_options import ActionHandler, SyncActionHandler
from backchannel.chat.agent.rendering import OutputRenderer
from backchannel.chat.agent.run_configs import (
    RunConfigFactory,
    check_run_config,
    has_sandbox,
    own_provider,
)
from backchannel.chat.agent.run_errors import check_error_handlers
from backchannel.chat.agent.unsupported import check_agent
from backchannel.context import CREDENTIAL_HEADERS, RequestContext
from backchannel.errors import ConfigurationError
from backchannel.hook_dispatcher import check_listener
from backchannel.hooks import Hooks
from backchannel.scanners.base import Scanner
from backchannel.stores.sql.migrate import Migrations

type ContextFactory = Callable[[RequestContext, Request | None], Any | Awaitable[Any]]
"""Makes an application's own context of a request; may be `async def`. The request is `None` for a run that was queued
or that another process began."""

type Lifespan = Callable[[], AbstractAsyncContextManager[Any]]
"""Opens what the application needs while the server runs: a function decorated with `asynccontextmanager`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Application:
    """An agent, or a `ChatKitServer`, with everything that belongs to it. What is set here wins over the settings.

    Attributes:
        agent: Answers the conversations' messages. Either this or `server` is required.
        server: A `ChatKitServer` that does, as an instance or as a class. A class is called with those of `store`,
            `attachment_store`, `database` and `settings` that its parameters name.
        routers: Further endpoints under `/api`, behind the same limits and error format. They authenticate by a
            parameter of type `backchannel.http.CurrentContext`; one without it is public. A path that Backchannel
            serves itself is refused at start.
        migrations: Further tables, upgraded at start after Backchannel's own.
        suggestions: First messages that the chat page offers.
        actions: Handlers of widget actions that stream events, by the action's type. Only with `agent`.
        sync_actions: Handlers of widget actions that answer at once, by the action's type. Only with `agent`.
        scopes: The scopes that its routers and tools ask for (`backchannel.http.context_with`, `Identity.require`),
            besides `chat` and `admin`.
        authenticators: The chain that identifies callers, in place of the one that the settings describe.
        attachment_store: Takes uploads, in place of the server's own files.
        scanner: Looks for malicious software in the server's own files, in place of the one of the settings.
        hooks: Listeners, called in this order; one that is named twice is called once.
        model_provider: Finds the models of agents, in place of the one that the settings describe. Only with `agent`.
        offline_model: Answers in place of the built-in offline model when no model is configured. Only with `agent`.
        converter: Turns thread items into model input. Only with `agent`.
        render_output: Returns a final answer that is no text (structured output, or the result of a tool that ends the
            run) as Markdown, or `None` for the default form. If it raises, the JSON is shown. Only with `agent`.
        run_config: The configuration of each run, or a function that makes it of the `RequestContext` and the thread.
            What the server sets itself is added to it. Only with `agent`.
        error_handlers: Answer in place of an error, by its kind: `max_turns`, `model_refusal`, `invalid_final_output`.
            Only with `agent`.
        context: Makes an application's own context of each request, which a `ChatKitServer` and its store get in place
            of the `RequestContext`. With an agent, tools find it as `ctx.context.request_context.app`. It never decides
            whose rows are touched.
        context_headers: Names of the request headers that are stored with a run, so that `context` finds them when the
            run was queued or is resumed by another process. None by default: headers may carry credentials.
        lifespan: Entered when the server starts, after the database is ready, and left when its runs have ended and the
            async calls of its hooks are done, both in the same task. Once per process.

    Raises:
        ConfigurationError: The parts do not fit together; the message says which.
    """

    agent: Agent[Any] | None = None
    server: ChatKitServer[Any] | type[ChatKitServer[Any]] | None = None
    routers: Sequence[APIRouter] = ()
    migrations: Sequence[Migrations] = ()
    suggestions: Sequence[str] = ()
    actions: Mapping[str, ActionHandler] = field(default_factory=dict[str, ActionHandler])
    sync_actions: Mapping[str, SyncActionHandler] = field(default_factory=dict[str, SyncActionHandler])
    scopes: Collection[str] = ()
    authenticators: Sequence[Authenticator] | None = None
    attachment_store: AttachmentStore[Any] | None = None
    scanner: Scanner | None = None
    hooks: Sequence[Hooks] = ()
    model_provider: ModelProvider | None = None
    offline_model: Model | None = None
    converter: ThreadItemConverter | None = None
    render_output: OutputRenderer | None = None
    run_config: RunConfig | RunConfigFactory | None = None
    error_handlers: RunErrorHandlers[Any] | None = None
    context: ContextFactory | None = None
    context_headers: Collection[str] = ()
    lifespan: Lifespan | None = None

    def __post_init__(self) -> None:
        if (self.agent is None) == (self.server is None):
            raise ConfigurationError("An Application needs either an agent or a server.")
        if self.server is not None:
            self._check_only_with_agent()
        if self.agent is not None:
            check_run_config(self.run_config)
            check_error_handlers(self.error_handlers)
            check_agent(self.agent, sandbox=has_sandbox(self.run_config))
            if self.model_provider is not None and own_provider(self.run_config) is not None:
                raise ConfigurationError("Give either model_provider or a run_config with one, not both.")
        for name, handler in self.actions.items():
            if not inspect.isasyncgenfunction(_unwrapped(handler)):
                raise ConfigurationError(
                    f"The handler of action {name!r} must be an `async def` that yields thread events; "
                    "one that returns a response belongs to sync_actions."
                )
        for name, handler in self.sync_actions.items():
            if not inspect.iscoroutinefunction(_unwrapped(handler)):
                raise ConfigurationError(
                    f"The handler of sync action {name!r} must be an `async def` that returns a "
                    "SyncCustomActionResponse or None; one that yields events belongs to actions."
                )
        if self.scanner is not None and (
            self.attachment_store is not None or isinstance(self.server, ChatKitServer)
        ):
            raise ConfigurationError(
                "scanner: it sees the server's own files, and there are none beside an attachment store or a server "
                "instance."
            )
        self._check_lifespan()
        for listener in self.hooks:
            if not isinstance(cast("object", listener), Hooks):
                raise ConfigurationError(f"hooks: {listener!r} is not an instance of a subclass of Hooks.")
            check_listener(listener)
        for name in self.context_headers:
            if name.lower() in CREDENTIAL_HEADERS:
                raise ConfigurationError(f"context_headers must not name {name!r}: it carries credentials.")

    def _check_only_with_agent(self) -> None:
        given = {
            "actions": self.actions,
            "sync_actions": self.sync_actions,
            "model_provider": self.model_provider,
            "offline_model": self.offline_model,
            "converter": self.converter,
            "render_output": self.render_output,
            "run_config": self.run_config,
            "error_handlers": self.error_handlers,
        }
        for name, value in given.items():
            if value:
                raise ConfigurationError(
                    f"An Application with a server of its own cannot have {name}: the server does that itself."
                )
        if self.attachment_store is not None and isinstance(self.server, ChatKitServer):
            raise ConfigurationError("attachment_store: give it to the server's constructor.")

    def _check_lifespan(self) -> None:
        lifespan = self.lifespan
        if lifespan is None:
            return
        plain = _unwrapped(lifespan)
        if inspect.isasyncgenfunction(plain) or inspect.iscoroutinefunction(plain) or not callable(lifespan):
            raise ConfigurationError(
                "lifespan must be an async context manager function: decorate it with "
                "`@contextlib.asynccontextmanager`."
            )


def _unwrapped(function: Any) -> Any:
    while isinstance(function, functools.partial):
        function = function.func
    if not inspect.isroutine(function) and not inspect.isclass(function):
        return type(function).__call__
    return function
