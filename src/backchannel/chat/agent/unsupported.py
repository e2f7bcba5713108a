"""Agents of the Agents SDK that the server cannot run."""

from typing import Any

from agents import Agent
from agents.sandbox import SandboxAgent

from backchannel.chat.recovery.resume_point import reachable_agents
from backchannel.errors import ConfigurationError


def check_agent(first: Agent[Any]) -> None:
    """Check that an agent, and those to which it can hand off, can be served.

    Raises:
        ConfigurationError: One of them cannot; the message says which, and what to do.
    """
    for agent in reachable_agents(first):
        if isinstance(agent, SandboxAgent):
            raise ConfigurationError(
                f"{agent.name} is a SandboxAgent, which needs a RunConfig of its own. Make it a tool of another agent: "
                "`as_tool(…, run_config=RunConfig(sandbox=…))`."
            )
