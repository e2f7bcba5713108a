"""The default runner of a process that serves."""

from collections.abc import Generator
from typing import Any, override

import pytest
from agents import Agent, RunConfig, Runner, RunResult, RunResultStreaming
from agents.models.multi_provider import MultiProvider
from agents.run import AgentRunner, get_default_agent_runner, set_default_agent_runner

from backchannel.chat.agent import runner
from backchannel.chat.agent.inner_runs import InnerCall
from backchannel.chat.agent.own_runs import models_for_own_runs
from backchannel.chat.agent.runner import ServerRunner, install_runner
from backchannel.testing import Say, ScriptedModel

pytestmark = pytest.mark.row("A5")


class Noting(AgentRunner):
    """A runner of the application, which notes the configurations of runs."""

    def __init__(self) -> None:
        self.configs: list[RunConfig | None] = []

    @override
    async def run(self, starting_agent: Agent[Any], input: Any, **kwargs: Any) -> RunResult:
        self.configs.append(kwargs.get("run_config"))
        return await super().run(starting_agent, input, **kwargs)

    @override
    def run_streamed(self, starting_agent: Agent[Any], input: Any, **kwargs: Any) -> RunResultStreaming:
        self.configs.append(kwargs.get("run_config"))
        return super().run_streamed(starting_agent, input, **kwargs)


@pytest.fixture(autouse=True)
def runner_of_the_process() -> Generator[None]:
    before = get_default_agent_runner()
    yield
    set_default_agent_runner(before)


def noting(monkeypatch: pytest.MonkeyPatch) -> list[RunConfig | None]:
    """The configurations with which the SDK's own runner is called."""
    configs: list[RunConfig | None] = []
    original = AgentRunner.run

    async def run(self: AgentRunner, starting_agent: Agent[Any], input: Any, **kwargs: Any) -> RunResult:
        configs.append(kwargs.get("run_config"))
        return await original(self, starting_agent, input, **kwargs)

    monkeypatch.setattr(AgentRunner, "run", run)
    return configs


async def test_runs_without_a_configuration_get_the_servers_models(monkeypatch: pytest.MonkeyPatch):
    set_default_agent_runner(AgentRunner())
    install_runner()
    configs, provider, own = noting(monkeypatch), MultiProvider(), RunConfig()
    agent = Agent(name="A", model=ScriptedModel(Say("a"), Say("b"), Say("c")))
    with models_for_own_runs(RunConfig(model_provider=provider)):
        await Runner.run(agent, "x")
        await Runner.run(agent, "x", run_config=own)
    await Runner.run(agent, "x")
    assert configs[0] is not None
    assert configs[0].model_provider is provider
    assert configs[1:] == [own, None]


async def test_a_runner_of_the_application_decides_itself():
    noted = Noting()
    set_default_agent_runner(noted)
    install_runner()
    agent = Agent(name="A", model=ScriptedModel(Say("a"), Say("b")))
    with models_for_own_runs(RunConfig()):
        await Runner.run(agent, "x")
        async for _ in Runner.run_streamed(agent, "x").stream_events():
            pass
    assert noted.configs == [None, None]


async def test_a_runner_of_the_application_streams_agents_that_are_tools(monkeypatch: pytest.MonkeyPatch):
    noted = Noting()
    set_default_agent_runner(noted)
    install_runner()
    agent = Agent(name="A", model=ScriptedModel(Say("a")))
    call = InnerCall("task", "call_1", "call_1", agent, speaks=True)
    monkeypatch.setattr(runner, "inner_call_of", lambda *_: call)

    def streamed(by: AgentRunner, _call: InnerCall, agent: Agent[Any], run_input: Any, options: Any) -> Any:
        assert by is noted
        return by.run_streamed(agent, run_input, **options)

    monkeypatch.setattr(runner, "stream_inner", streamed)
    result = await Runner.run(agent, "x")
    assert isinstance(result, RunResultStreaming)
    assert (result.final_output, noted.configs) == ("a", [None])


def test_it_is_installed_once():
    set_default_agent_runner(AgentRunner())
    install_runner()
    first = get_default_agent_runner()
    install_runner()
    assert get_default_agent_runner() is first
    assert isinstance(first, ServerRunner)
