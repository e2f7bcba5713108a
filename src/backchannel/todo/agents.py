"""The agents: a triage that hands off to specialists, or a supervisor that calls them as tools.

No agent names a model; the server supplies it.
"""

from typing import Any

from agents import Agent, FunctionTool, RunContextWrapper, RunHooks
from agents.tool_context import ToolContext
from pydantic import BaseModel, ConfigDict

from backchannel.errors import InvalidInputError
from backchannel.settings import Settings
from backchannel.todo.arguments import parse
from backchannel.todo.instructions import HELP, SEARCH, SUPERVISOR, TODO, TRIAGE, Clock, dated, local_now
from backchannel.todo.progress import ToolProgress
from backchannel.todo.service import TodoService
from backchannel.todo.tools import TodoTools, error_text

_TODO_JOB = "Adds, lists, changes, completes, reopens and deletes todos."
_SEARCH_JOB = "Finds todos by words, due date, status or priority, without changing them."
_HELP_JOB = "Explains what this assistant is and what it can do."


def triage(service: TodoService, settings: Settings, *, clock: Clock = local_now) -> Agent[Any]:
    """The agent `Triage`, which hands the conversation off to `Todo`, `Search` or `Help`.

    Args:
        service: Keeps the todos.
        settings: Say which model answers.
        clock: Gives the date that the agents are told.
    """
    return Agent(
        name="Triage",
        instructions=dated(TRIAGE, clock),
        handoffs=[*_specialists(service, settings, clock)],
    )


def supervisor(service: TodoService, settings: Settings, *, clock: Clock = local_now) -> Agent[Any]:
    """The agent `Supervisor`, which keeps the conversation and calls the specialists as tools.

    A specialist may take as many model calls as an answer may (`settings.max_turns`).
    """
    todo, search, help_ = _specialists(service, settings, clock)
    hooks = ToolProgress()
    return Agent(
        name="Supervisor",
        instructions=dated(SUPERVISOR, clock),
        tools=[
            _as_tool(todo, "todo_assistant", settings, hooks),
            _as_tool(search, "search_assistant", settings, hooks),
            _as_tool(help_, "help_assistant", settings, hooks),
        ],
    )


def _specialists(
    service: TodoService, settings: Settings, clock: Clock
) -> tuple[Agent[Any], Agent[Any], Agent[Any]]:
    tools = TodoTools(service, settings)
    return (
        Agent(
            name="Todo",
            handoff_description=_TODO_JOB,
            instructions=dated(TODO, clock),
            tools=[*tools.todo],
        ),
        Agent(
            name="Search",
            handoff_description=_SEARCH_JOB,
            instructions=dated(SEARCH, clock),
            tools=[*tools.search],
        ),
        Agent(
            name="Help",
            handoff_description=_HELP_JOB,
            instructions=dated(HELP, clock),
            tools=[*tools.help],
        ),
    )


class _Input(BaseModel):
    model_config = ConfigDict(extra="ignore")

    input: str


def _as_tool(agent: Agent[Any], name: str, settings: Settings, hooks: RunHooks[Any]) -> FunctionTool:
    return agent.as_tool(
        tool_name=name,
        tool_description=f"{agent.handoff_description} It sees only `input`: send a complete request.",
        max_turns=settings.max_turns,
        hooks=hooks,
        failure_error_function=_answer_bad_arguments,
    )


def _answer_bad_arguments(context: RunContextWrapper[Any], error: Exception) -> str:
    """What the supervisor is told when a specialist could not be called.

    Raises:
        Exception: The error itself, if the specialist's own run failed: that is the server's to report, and
            its words may hold what the model must not repeat.
    """
    if isinstance(context, ToolContext):
        try:
            parse(_Input, context.tool_arguments)
        except InvalidInputError as problem:
            return error_text(problem)
    raise error
