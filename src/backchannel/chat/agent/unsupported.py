"""Agents of the Agents SDK that the server cannot run."""

from typing import Any

from agents import Agent, AgentOutputSchema, UserError
from agents.agent_output import AgentOutputSchemaBase
from agents.sandbox import SandboxAgent

from backchannel.chat.recovery.resume_point import reachable_agents
from backchannel.errors import ConfigurationError


def check_agent(first: Agent[Any], *, sandbox: bool = False) -> None:
    """Check that an agent, and those to which it can hand off, can be served.

    Args:
        sandbox: Whether runs have a sandbox.

    Raises:
        ConfigurationError: One of them cannot; the message says which, and what to do.
    """
    for agent in reachable_agents(first):
        if isinstance(agent, SandboxAgent) and not sandbox:
            raise ConfigurationError(
                f"{agent.name} is a SandboxAgent, which needs a sandbox. Give the Application a "
                "`run_config=RunConfig(sandbox=SandboxRunConfig(client=…))`, or make it a tool of another agent: "
                "`as_tool(…, run_config=RunConfig(sandbox=…))`."
            )
        kind = agent.output_type
        if kind is None or isinstance(kind, AgentOutputSchemaBase):
            continue
        try:
            AgentOutputSchema(kind)
        except UserError as error:
            raise ConfigurationError(f"The output_type of {agent.name} cannot be used: {error}") from error
