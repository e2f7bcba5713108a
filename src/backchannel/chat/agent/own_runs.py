"""Agents that code of the application runs itself during an answer: in a tool, a guardrail, a function, an action.

`Runner.run(judge, text)` without a `run_config` would use the Agents SDK's default provider, whatever models the server
has: another API or key, or none.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy
from typing import Any

from agents import Agent, Model, RunConfig

from backchannel.mcp.reach import reachable_agents
from backchannel.model_calls.normalized_model import NormalizedModel
from backchannel.model_calls.provider import NormalizedModels

_config: ContextVar[RunConfig | None] = ContextVar("config_of_own_runs", default=None)


@contextmanager
def models_for_own_runs(config: RunConfig) -> Generator[None]:
    """In the block, and in tasks that it starts, runs without a configuration use the models of `config`."""
    own = RunConfig(
        model_provider=config.model_provider,
        tracing_disabled=config.tracing_disabled,
        tracing=config.tracing,
        trace_include_sensitive_data=config.trace_include_sensitive_data,
    )
    token = _config.set(own)
    try:
        yield
    finally:
        _config.reset(token)


async def with_models[T](items: AsyncIterator[T], config: RunConfig) -> AsyncGenerator[T]:
    """The items of an iterator whose code runs inside of `models_for_own_runs`; the code of its reader does not."""
    while True:
        with models_for_own_runs(config):
            try:
                item = await anext(items)
            except StopAsyncIteration:
                return
        yield item


def with_config(agent: Agent[Any], options: dict[str, Any]) -> Any:
    """Options of a run, with the configuration that `models_for_own_runs` sets if they have none. With budgets, models
    that the agent or its configuration brings are charged to the answer, too."""
    config = _config.get()
    if config is None:
        return options
    given = options.get("run_config")
    models = config.model_provider
    if isinstance(models, NormalizedModels) and models.limited:
        for each in reachable_agents(agent):
            models.prepare(each)
        given = _charged(given, models) if isinstance(given, RunConfig) else given
    return {**options, "run_config": config if given is None else given}


def _charged(given: RunConfig, models: NormalizedModels) -> RunConfig:
    charged = copy(given)
    if not isinstance(charged.model_provider, NormalizedModels):
        charged.model_provider = models.of(charged.model_provider)
    if isinstance(charged.model, Model) and not isinstance(charged.model, NormalizedModel):
        charged.model = models.normalized(charged.model)
    return charged
