"""The default runner of the Agents SDK in a process that serves. Runs that the SDK and the application start themselves
during an answer go through it.

Agents that are tools are streamed (`inner_runs`). Runs without a configuration use the server's models (`own_runs`).
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, cast, override

from agents import Agent, RunResult, RunResultStreaming, RunState, StreamEvent, TResponseInputItem
from agents.run import AgentRunner, get_default_agent_runner, set_default_agent_runner

from backchannel.chat.agent.inner_runs import inner_call_of, stream_inner
from backchannel.chat.agent.own_runs import with_config

type RunInput = str | list[TResponseInputItem] | RunState[Any]


class ServerRunner(AgentRunner):
    """Runs agents by another runner.

    Args:
        runner: The default runner so far. One of the application decides itself which models runs without a
            configuration use.
    """

    def __init__(self, runner: AgentRunner) -> None:
        self._runner = runner
        self._configures = type(runner) is AgentRunner

    @override
    async def run(self, starting_agent: Agent[Any], input: RunInput, **kwargs: Any) -> RunResult:
        options = self._options(starting_agent, kwargs)
        call = inner_call_of(starting_agent, options)
        if call is None:
            return await self._runner.run(starting_agent, input, **options)
        result = stream_inner(self._runner, call, starting_agent, input, options)
        events = cast("AsyncGenerator[StreamEvent]", result.stream_events())
        async with aclosing(events):
            async for _ in events:
                pass
        # What `Agent.as_tool` does with it works on both.
        return cast("RunResult", result)

    @override
    def run_sync(self, starting_agent: Agent[Any], input: RunInput, **kwargs: Any) -> RunResult:
        return self._runner.run_sync(starting_agent, input, **self._options(starting_agent, kwargs))

    @override
    def run_streamed(self, starting_agent: Agent[Any], input: RunInput, **kwargs: Any) -> RunResultStreaming:
        options = self._options(starting_agent, kwargs)
        call = inner_call_of(starting_agent, options)
        if call is None:
            return self._runner.run_streamed(starting_agent, input, **options)
        return stream_inner(self._runner, call, starting_agent, input, options)

    def _options(self, agent: Agent[Any], options: dict[str, Any]) -> Any:
        return with_config(agent, options) if self._configures else options


def install_runner() -> None:
    """Make `ServerRunner` the default runner of this process, once."""
    runner = get_default_agent_runner()
    if not isinstance(runner, ServerRunner):
        set_default_agent_runner(ServerRunner(runner))
