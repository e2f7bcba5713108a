"""The configuration of runs: what the application gives (`Application.run_config`), and what the server sets."""

import inspect
from collections.abc import Awaitable, Callable
from copy import copy
from typing import Any, cast
from weakref import WeakKeyDictionary

from agents import Agent, Model, ModelProvider, MultiProvider, RunConfig, UserError
from chatkit.types import ThreadMetadata

from backchannel.chat.agent.tool_errors import error_formatter
from backchannel.context import RequestContext
from backchannel.errors import ConfigurationError
from backchannel.model_calls.normalized_model import NormalizedModel
from backchannel.model_calls.provider import NormalizedModels

type RunConfigFactory = Callable[[RequestContext, ThreadMetadata], RunConfig | Awaitable[RunConfig]]
"""Makes the configuration of one run; may be `async def`. Called once for each execution of a run: a run that another
process resumes, or that goes on after an approval, gets a new one."""

DEFAULT_WORKFLOW_NAME = "Agent workflow"
"""Of a `RunConfig` that names none."""


def check_run_config(given: object) -> None:
    """Check the configuration of an application.

    Raises:
        ConfigurationError: It is none, or it sets what has no effect or would be shared by all people; the message says
            what to use instead.
    """
    if given is None or (not isinstance(given, RunConfig) and callable(given)):
        return
    if not isinstance(given, RunConfig):
        raise ConfigurationError(
            f"run_config must be a RunConfig or a function that returns one, and not a {type(given).__name__}."
        )
    problem = _problem(given)
    if problem is None and given.trace_id is not None:
        problem = "trace_id would be that of every run: make run_config a function."
    if problem is None and given.sandbox is not None:
        for name in ("session", "session_state"):
            if getattr(given.sandbox, name) is not None:
                problem = f"sandbox.{name} would be shared by all people: make run_config a function."
    if problem is not None:
        raise ConfigurationError(f"run_config: {problem}")


def _problem(config: RunConfig) -> str | None:
    for name in ("session_input_callback", "session_settings"):
        if getattr(config, name) is not None:
            return (
                f"{name} has no effect, because the stored thread is the memory: use Application.converter, or "
                "BACKCHANNEL_HISTORY_TOKENS."
            )
    return None


def has_sandbox(given: RunConfig | RunConfigFactory | None) -> bool:
    """Whether runs may have a sandbox."""
    return given is not None and (not isinstance(given, RunConfig) or given.sandbox is not None)


def own_provider(given: RunConfig | RunConfigFactory | None) -> ModelProvider | None:
    """The model provider that a configuration brings; `None` if it has the default of the Agents SDK."""
    if not isinstance(given, RunConfig) or _is_default(given.model_provider):
        return None
    return given.model_provider


def _is_default(provider: ModelProvider) -> bool:
    # Every `RunConfig` has a provider, so it does not show whether one was given.
    if type(provider) is not MultiProvider:
        return False
    default = MultiProvider()
    given = {**vars(provider), "openai_provider": None, "_fallback_providers": None}
    usual = {**vars(default), "openai_provider": None, "_fallback_providers": None}
    plain = (str, bool, type(None))
    own, other = vars(provider.openai_provider), vars(default.openai_provider)
    return given == usual and all(
        own.get(name) == value or not isinstance(value, plain) for name, value in other.items()
    )


class RunConfigs:
    """Makes the configuration of each run.

    Args:
        agent: Answers messages. Traces have its name, unless the application names them.
        provider: The server's model provider.
        models: The same, normalized.
        given: The application's configuration.
    """

    def __init__(
        self,
        agent: Agent[Any],
        provider: ModelProvider,
        models: NormalizedModels,
        given: RunConfig | RunConfigFactory | None,
    ) -> None:
        self._agent = agent
        self._provider = provider
        self._models = models
        self._given = given
        self._others: WeakKeyDictionary[ModelProvider, NormalizedModels] = WeakKeyDictionary()

    async def make(self, thread: ThreadMetadata, context: RequestContext) -> RunConfig:
        """A configuration for one run of `thread`, for the caller's own use.

        Raises:
            UserError: The application's function returned something else, or what has no effect.
        """
        config = await self._from_application(thread, context)
        models = self._models_for(config.model_provider)
        config.model_provider = models
        if isinstance(config.model, Model) and not isinstance(config.model, NormalizedModel):
            config.model = models.normalized(config.model)
        if config.workflow_name == DEFAULT_WORKFLOW_NAME:
            config.workflow_name = self._agent.name
        config.group_id = config.group_id or thread.id
        ids = {"request_id": context.request_id, "run_id": context.run_id or ""}
        config.trace_metadata = {**(config.trace_metadata or {}), **ids}
        # Traces leave the server, so they have no words of people. `True` is the default of a `RunConfig`.
        config.trace_include_sensitive_data = False
        # A call of an unknown tool returns an error to the model instead of failing the answer.
        config.tool_not_found_behavior = "return_error_to_model"
        config.tool_error_formatter = error_formatter(config.tool_error_formatter)
        return config

    async def _from_application(self, thread: ThreadMetadata, context: RequestContext) -> RunConfig:
        given = self._given
        if given is None:
            return RunConfig(model_provider=self._models)
        if isinstance(given, RunConfig):
            return copy(given)
        made = given(context, thread)
        config = cast("object", await made if inspect.isawaitable(made) else made)
        if not isinstance(config, RunConfig):
            raise UserError(
                f"Application.run_config returned a {type(config).__name__}, and not a RunConfig."
            )
        if (problem := _problem(config)) is not None:
            raise UserError(f"Application.run_config: {problem}")
        return copy(config)

    def _models_for(self, provider: ModelProvider) -> NormalizedModels:
        if provider is self._models or provider is self._provider or _is_default(provider):
            return self._models
        if isinstance(provider, NormalizedModels):
            return provider
        try:
            known = self._others.get(provider)
            if known is None:
                known = self._others[provider] = self._models.of(provider)
        except TypeError:
            # It cannot be hashed.
            known = self._models.of(provider)
        return known


def without_guardrails(config: RunConfig) -> RunConfig:
    """A copy for agents that code of the application runs, such as a guardrail: it must not check itself."""
    copied = copy(config)
    copied.input_guardrails = copied.output_guardrails = None
    return copied
