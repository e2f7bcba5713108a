"""What an application hands over to be served: its agent and the things that belong to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agents import Agent, Model
from fastapi import APIRouter

from backchannel.stores.sql.migrate import Migrations


@dataclass(frozen=True, slots=True)
class Bundle:
    """An agent with its tables and its own endpoints. A target that needs neither returns the bare agent.

    Attributes:
        agent: Answers the conversation's messages.
        routers: Mounted under `/api`, behind the same authentication and error format.
        migrations: Applied at start-up after Backchannel's own.
        suggestions: First messages that the chat page offers.
        offline_model: Answers in place of the built-in offline model when no model is configured.
    """

    agent: Agent[Any]
    routers: Sequence[APIRouter] = ()
    migrations: Sequence[Migrations] = ()
    suggestions: Sequence[str] = ()
    offline_model: Model | None = None
