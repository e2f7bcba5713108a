"""Agents that code of the application runs itself during an answer: in a tool, a guardrail, a function.

`Runner.run(judge, text)` without a `run_config` would use the Agents SDK's default provider, whatever models the server
has: another API or key, or none.
"""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from agents import RunConfig

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


def with_config(options: dict[str, Any]) -> Any:
    """Options of a run, with the configuration that `models_for_own_runs` sets if they have none."""
    config = _config.get()
    if config is None or options.get("run_config") is not None:
        return options
    return {**options, "run_config": config}
