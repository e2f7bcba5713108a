"""The tools of the todo assistant. Each returns JSON text, and bad arguments are an answer, not a failure.

Whose todos are meant comes from the request, never from the model. The answer to arguments that are not
acceptable is `{"error": {"code", "message", "field"}}`, from which the model can do better.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from inspect import cleandoc
from typing import Any, cast

import structlog
from agents import FunctionTool
from agents.models.default_models import get_default_model
from agents.tool_context import ToolContext
from chatkit.agents import AgentContext
from pydantic import BaseModel

from backchannel.context import Identity, identity_of
from backchannel.errors import (
    BackchannelError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    UnavailableError,
)
from backchannel.settings import Settings
from backchannel.todo.arguments import (
    CompleteTodo,
    CreateTodo,
    DeleteTodo,
    DescribeCapabilities,
    ListTodos,
    SearchTodos,
    UpdateTodo,
    parse,
    schema,
)
from backchannel.todo.models import NewTodo, Todo, TodoChanges, TodoFilter, TodoQuery
from backchannel.todo.problems import read
from backchannel.todo.service import TodoService
from backchannel.tools import idempotency_key, idempotent

OFFLINE_MODEL = "offline rule-based stand-in"
CAPABILITIES: tuple[Mapping[str, Any], ...] = (
    {
        "title": "Add todos, with a due date and a priority",
        "examples": [
            "add buy milk tomorrow at 5pm",
            "add milk, eggs and bread",
            "add call mom, high priority",
        ],
    },
    {
        "title": "Show what there is to do",
        "examples": ["show my todos", "what's due this week?", "what's overdue?"],
    },
    {"title": "Find todos", "examples": ["find milk", "search for dentist"]},
    {
        "title": "Change todos",
        "examples": ["move milk to friday", "set priority of milk to 5", "rename milk to oat milk"],
    },
    {"title": "Complete and reopen todos", "examples": ["mark milk done", "reopen milk"]},
    {"title": "Delete todos", "examples": ["delete milk", "delete the second one"]},
)
"""What people can ask for. The examples are sentences that the offline model understands too."""

_log = structlog.get_logger(__name__)

type Answer = dict[str, Any]


class TodoTools:
    """The tools, bound to one service and the settings.

    Attributes:
        todo: For the agent that manages todos.
        search: For the agent that finds them.
        help: For the agent that explains the assistant.
    """

    def __init__(self, service: TodoService, settings: Settings) -> None:
        self._service = service
        self._model = OFFLINE_MODEL if settings.offline else settings.model or get_default_model()
        list_todos = _tool("list_todos", ListTodos, self._list)
        search_todos = _tool("search_todos", SearchTodos, self._search)
        # The one that is not idempotent: the second time there is nothing left to delete, and it says so.
        delete_todo = _tool("delete_todo", DeleteTodo, self._delete)
        self.todo = (
            _tool("create_todo", CreateTodo, self._create),
            list_todos,
            _tool("update_todo", UpdateTodo, self._update),
            _tool("complete_todo", CompleteTodo, self._complete),
            delete_todo,
            search_todos,
        )
        self.search = (search_todos, list_todos)
        self.help = (_tool("describe_capabilities", DescribeCapabilities, self._describe),)
        for tool in (*self.todo, *self.help):
            if tool is not delete_todo:
                idempotent(tool)

    async def _create(self, identity: Identity, given: CreateTodo, key: str) -> Answer:
        new = read(NewTodo, given.model_dump())
        return {"todo": _json(await self._service.create(identity, new, key=key))}

    async def _list(self, identity: Identity, given: ListTodos, _key: str) -> Answer:
        page = await self._service.list(identity, read(TodoFilter, given.model_dump()))
        return {
            "todos": [_json(todo) for todo in page.todos],
            "total": page.total,
            "limit": page.limit,
            "offset": page.offset,
        }

    async def _update(self, identity: Identity, given: UpdateTodo, _key: str) -> Answer:
        changes = read(TodoChanges, given.changes())
        return {"todo": _json(await self._service.update(identity, given.todo_id, changes))}

    async def _complete(self, identity: Identity, given: CompleteTodo, _key: str) -> Answer:
        return {"todo": _json(await self._service.complete(identity, given.todo_id))}

    async def _delete(self, identity: Identity, given: DeleteTodo, _key: str) -> Answer:
        return {"deleted": _json(await self._service.delete(identity, given.todo_id))}

    async def _search(self, identity: Identity, given: SearchTodos, _key: str) -> Answer:
        page = await self._service.search(identity, read(TodoQuery, given.model_dump()))
        return {"todos": [_json(todo) for todo in page.todos], "total": page.total, "query": given.query}

    async def _describe(self, _identity: Identity, _given: DescribeCapabilities, _key: str) -> Answer:
        return {"model": self._model, "capabilities": [dict(capability) for capability in CAPABILITIES]}


def identity_of_run(context: object) -> Identity:
    """Whose todos a run is about. Accepts ChatKit's `AgentContext` and anything `identity_of` takes.

    Raises:
        TypeError: The run's context says nothing of who is asking.
    """
    if isinstance(context, AgentContext):
        return identity_of(cast("AgentContext[Any]", context).request_context)
    return identity_of(context)


def error_text(error: BackchannelError) -> str:
    """The answer of a tool that could not do what it was asked."""
    match error:
        case NotFoundError():
            content = {"code": "not_found", "message": error.message, "field": "todo_id"}
        case UnavailableError():
            content = {"code": "unavailable", "message": error.message}
        case _:
            content = {"code": "invalid_input", "message": error.message, **_field(error)}
    return _text({"error": content})


def _tool[A: BaseModel](
    name: str, arguments: type[A], answer: Callable[[Identity, A, str], Awaitable[Answer]]
) -> FunctionTool:
    async def invoke(context: ToolContext[Any], text: str) -> str:
        identity = identity_of_run(context.context)
        try:
            return _text(await answer(identity, parse(arguments, text), idempotency_key(context)))
        except (InvalidInputError, NotFoundError, ConflictError, UnavailableError) as error:
            _log.info("todo_tool_refused", tool=name, code=error.code)
            return error_text(error)

    return FunctionTool(
        name=name,
        description=" ".join(cleandoc(arguments.__doc__ or "").split()),
        params_json_schema=schema(arguments),
        on_invoke_tool=invoke,
    )


def _field(error: BackchannelError) -> dict[str, str]:
    if isinstance(error.details, list) and error.details and error.details[0]["field"]:
        return {"field": error.details[0]["field"]}
    return {}


def _json(todo: Todo) -> dict[str, Any]:
    return todo.model_dump(mode="json")


def _text(answer: Answer) -> str:
    return json.dumps(answer, ensure_ascii=False)
