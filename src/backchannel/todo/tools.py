"""The tools of the todo assistant. Each returns JSON text.

The user comes from the request's context, never from the model. Invalid arguments do not fail the run: the output is
`{"error": {"code", "message", "field"}}`, so that the model can correct them.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from inspect import cleandoc
from typing import Any, cast

import structlog
from agents import FunctionTool, RunContextWrapper
from agents.models.default_models import get_default_model
from agents.tool_context import ToolContext
from chatkit.agents import AgentContext
from pydantic import BaseModel

from backchannel.context import Identity, identity_of
from backchannel.errors import (
    BackchannelError,
    ConflictError,
    InsufficientScopeError,
    InvalidInputError,
    NotFoundError,
    UnavailableError,
)
from backchannel.settings import Settings
from backchannel.todo.arguments import (
    CompleteTodo,
    CreateTodo,
    DeleteTodo,
    DeleteTodos,
    DescribeCapabilities,
    ListTodos,
    SearchTodos,
    UpdateTodo,
    parse,
    schema,
)
from backchannel.todo.models import NewTodo, Todo, TodoChanges, TodoFilter, TodoQuery
from backchannel.todo.scopes import TODOS
from backchannel.todo.service import TodoService
from backchannel.todo.validation import validate
from backchannel.tools import approval_question, idempotency_key, idempotent

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
    {"title": "Delete todos", "examples": ["delete milk", "delete the second one", "delete everything"]},
)
"""The capabilities of the assistant. The offline model understands the examples, too."""

MAX_TITLES = 20
"""How many titles the question names, at most, before several todos are deleted."""

_log = structlog.get_logger(__name__)

type ToolOutput = dict[str, Any]


class TodoTools:
    """The tools, bound to one service and the settings.

    Attributes:
        todo: For the agent that manages todos.
        search: For the agent that finds them.
        help: For the agent that describes the assistant.
    """

    def __init__(self, service: TodoService, settings: Settings) -> None:
        self._service = service
        self._model = OFFLINE_MODEL if settings.offline else settings.model or get_default_model()
        list_todos = _tool("list_todos", ListTodos, self._list)
        search_todos = _tool("search_todos", SearchTodos, self._search)
        # Not idempotent: repeating it returns an error, as the todo no longer exists.
        delete_todo = _tool("delete_todo", DeleteTodo, self._delete)
        delete_todos = _tool("delete_todos", DeleteTodos, self._delete_many)
        delete_todos.needs_approval = _is_acceptable
        approval_question(delete_todos, self._ask_to_delete)
        self.todo = (
            _tool("create_todo", CreateTodo, self._create),
            list_todos,
            _tool("update_todo", UpdateTodo, self._update),
            _tool("complete_todo", CompleteTodo, self._complete),
            delete_todo,
            delete_todos,
            search_todos,
        )
        self.search = (search_todos, list_todos)
        self.help = (_tool("describe_capabilities", DescribeCapabilities, self._describe),)
        for tool in (*self.todo, *self.help):
            if tool not in (delete_todo, delete_todos):
                idempotent(tool)

    async def _create(self, identity: Identity, arguments: CreateTodo, key: str) -> ToolOutput:
        new = validate(NewTodo, arguments.model_dump())
        return {"todo": _todo_fields(await self._service.create(identity, new, key=key))}

    async def _list(self, identity: Identity, arguments: ListTodos, _key: str) -> ToolOutput:
        page = await self._service.list(identity, validate(TodoFilter, arguments.model_dump()))
        return {
            "todos": [_todo_fields(todo) for todo in page.todos],
            "total": page.total,
            "limit": page.limit,
            "offset": page.offset,
        }

    async def _update(self, identity: Identity, arguments: UpdateTodo, _key: str) -> ToolOutput:
        changes = validate(TodoChanges, arguments.changes())
        return {"todo": _todo_fields(await self._service.update(identity, arguments.todo_id, changes))}

    async def _complete(self, identity: Identity, arguments: CompleteTodo, _key: str) -> ToolOutput:
        return {"todo": _todo_fields(await self._service.complete(identity, arguments.todo_id))}

    async def _delete(self, identity: Identity, arguments: DeleteTodo, _key: str) -> ToolOutput:
        return {"deleted": _todo_fields(await self._service.delete(identity, arguments.todo_id))}

    async def _delete_many(self, identity: Identity, arguments: DeleteTodos, _key: str) -> ToolOutput:
        deleted = await self._service.delete_many(identity, arguments.todo_ids)
        known = {todo.id for todo in deleted}
        return {
            "deleted": [_todo_fields(todo) for todo in deleted],
            "not_found": [todo_id for todo_id in arguments.todo_ids if todo_id not in known],
        }

    async def _ask_to_delete(self, context: RunContextWrapper[Any], arguments: dict[str, Any]) -> str:
        asked = validate(DeleteTodos, arguments)
        titles = [
            f"“{todo.title}”"
            for todo in await self._service.get_many(identity_of_run(context.context), asked.todo_ids)
        ]
        more = len(titles) - MAX_TITLES
        listed = ", ".join(titles[:MAX_TITLES]) + (f" and {more} more" if more > 0 else "")
        return f"Delete {len(titles)} todo{'' if len(titles) == 1 else 's'}: {listed}?"

    async def _search(self, identity: Identity, arguments: SearchTodos, _key: str) -> ToolOutput:
        page = await self._service.search(identity, validate(TodoQuery, arguments.model_dump()))
        return {
            "todos": [_todo_fields(todo) for todo in page.todos],
            "total": page.total,
            "query": arguments.query,
        }

    async def _describe(self, _identity: Identity, _arguments: DescribeCapabilities, _key: str) -> ToolOutput:
        return {"model": self._model, "capabilities": [dict(capability) for capability in CAPABILITIES]}


def identity_of_run(context: object) -> Identity:
    """The identity of a run's caller. Accepts ChatKit's `AgentContext` and everything that `identity_of` accepts.

    Raises:
        TypeError: The context has no identity.
    """
    if isinstance(context, AgentContext):
        return identity_of(cast("AgentContext[Any]", context).request_context)
    return identity_of(context)


def error_text(error: BackchannelError) -> str:
    """The output of a tool that failed, as JSON."""
    match error:
        case NotFoundError():
            content = {"code": "not_found", "message": error.message, "field": "todo_id"}
        case InsufficientScopeError():
            content = {"code": error.code, "message": error.message}
        case UnavailableError():
            content = {"code": "unavailable", "message": error.message}
        case _:
            content = {"code": "invalid_input", "message": error.message, **_field(error)}
    return _to_json({"error": content})


def _tool[A: BaseModel](
    name: str, arguments: type[A], answer: Callable[[Identity, A, str], Awaitable[ToolOutput]]
) -> FunctionTool:
    async def invoke(context: ToolContext[Any], text: str) -> str:
        identity = identity_of_run(context.context)
        try:
            identity.require(TODOS)
            return _to_json(await answer(identity, parse(arguments, text), idempotency_key(context)))
        except (
            InvalidInputError,
            NotFoundError,
            ConflictError,
            InsufficientScopeError,
            UnavailableError,
        ) as error:
            _log.info("todo_tool_refused", tool=name, code=error.code)
            return error_text(error)

    return FunctionTool(
        name=name,
        description=" ".join(cleandoc(arguments.__doc__ or "").split()),
        params_json_schema=schema(arguments),
        on_invoke_tool=invoke,
    )


async def _is_acceptable(context: RunContextWrapper[Any], arguments: dict[str, Any], _call_id: str) -> bool:
    """Whether a call of `delete_todos` is one to ask about; if not, the model gets the error."""
    try:
        identity_of_run(context.context).require(TODOS)
        validate(DeleteTodos, arguments)
    except (InsufficientScopeError, InvalidInputError):
        return False
    return True


def _field(error: BackchannelError) -> dict[str, str]:
    if isinstance(error.details, list) and error.details and error.details[0]["field"]:
        return {"field": error.details[0]["field"]}
    return {}


def _todo_fields(todo: Todo) -> dict[str, Any]:
    return todo.model_dump(mode="json")


def _to_json(answer: ToolOutput) -> str:
    return json.dumps(answer, ensure_ascii=False)
