"""The agents: a triage that hands off to specialists, or a supervisor that calls them as tools.

No agent names a model, so the server's default model is used.
"""

from typing import Any

from agents import Agent, FunctionTool, RunContextWrapper, RunHooks
from agents.tool_context import ToolContext
from pydantic import BaseModel, ConfigDict

from backchannel.errors import InvalidInputError
from backchannel.settings import Settings
from backchannel.todo.arguments import parse
from backchannel.todo.instructions import (
    HELP,
    SEARCH,
    SUPERVISOR,
    TODO,
    TRIAGE,
    Clock,
    local_now,
    with_current_time,
)
from backchannel.todo.progress import ToolProgress
from backchannel.todo.service import TodoService
from backchannel.todo.tools import TodoTools, error_text

_TODO_DESCRIPTION = "Adds, lists, changes, completes, reopens and deletes todos."
_SEARCH_DESCRIPTION = "Finds todos by words, due date, status or priority, without changing them."
_HELP_DESCRIPTION = "Explains what this assistant is and what it can do."


def triage(service: TodoService, settings: Settings, *, clock: Clock = local_now) -> Agent[Any]:
    """The agent `Triage`, which hands the conversation off to `Todo`, `Search` or `Help`.

    Args:
        service: Stores the todos.
        settings: Determine the model, for the agent `Help`.
        clock: Returns the current time for the instructions.
    """
    return Agent(
        name="Triage",
        instructions=with_current_time(TRIAGE, clock),
        handoffs=[*_specialists(service, settings, clock)],
    )


def supervisor(service: TodoService, settings: Settings, *, clock: Clock = local_now) -> Agent[Any]:
    """The agent `Supervisor`, which answers itself and calls the specialists as tools.

    Each call of a specialist is limited to `settings.max_turns` model calls.
    """
    todo, search, help_ = _specialists(service, settings, clock)
    hooks = ToolProgress()
    return Agent(
        name="Supervisor",
        instructions=with_current_time(SUPERVISOR, clock),
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
            handoff_description=_TODO_DESCRIPTION,
            instructions=with_current_time(TODO, clock),
            tools=[*tools.todo],
        ),
        Agent(
            name="Search",
            handoff_description=_SEARCH_DESCRIPTION,
            instructions=with_current_time(SEARCH, clock),
            tools=[*tools.search],
        ),
        Agent(
            name="Help",
            handoff_description=_HELP_DESCRIPTION,
            instructions=with_current_time(HELP, clock),
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
        failure_error_function=_describe_invalid_arguments,
    )


def _describe_invalid_arguments(context: RunContextWrapper[Any], error: Exception) -> str:
    """The tool output for a call of a specialist with invalid arguments.

    Raises:
        Exception: The error itself, if the specialist's run failed. The server reports it; its message may contain
            details that the model must not repeat.
    """
    if isinstance(context, ToolContext):
        try:
            parse(_Input, context.tool_arguments)
        except InvalidInputError as invalid:
            return error_text(invalid)
    raise error
