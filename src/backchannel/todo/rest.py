"""The REST endpoints of the caller's todos."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, override

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, BeforeValidator, Field

from backchannel.context import RequestContext
from backchannel.errors import BackchannelError, InvalidRequestError
from backchannel.http import context_with
from backchannel.todo import values
from backchannel.todo.models import PRIORITY_HELP, NewTodo, Todo, TodoChanges, TodoFilter, TodoQuery
from backchannel.todo.scopes import TODOS
from backchannel.todo.service import TodoService
from backchannel.todo.validation import to_invalid_input, validate

_Caller = Annotated[RequestContext, Depends(context_with(TODOS))]

_Number = BeforeValidator(values.digits_as_number)


class TodoParameters(TodoFilter):
    """The query parameters of the list."""

    q: values.Query = Field(
        default="", description="Words in title and description; the best match comes first."
    )
    priority: Annotated[values.Priority, _Number] | None = Field(
        default=None, description=f"Only todos of exactly this priority: {PRIORITY_HELP}"
    )
    limit: Annotated[values.Limit, _Number] = Field(
        default=20, description="How many todos at most, 1 to 100."
    )
    offset: Annotated[values.Offset, _Number] = Field(default=0, description="How many todos to skip.")


class TodoList(BaseModel):
    """A page of the matching todos.

    Order without `q`: open before completed, then by due date (todos without one last), then by descending priority,
    then by creation. Order with `q`: by relevance.
    """

    data: list[Todo]
    total: int = Field(description="The number of matching todos, regardless of limit and offset.")
    limit: int
    offset: int
    has_more: bool = Field(description="Whether more todos follow this page.")


class TodoError(BaseModel):
    """An error response."""

    code: str = Field(examples=["not_found"])
    message: str = Field(description="What is wrong and what to do, in one or two sentences.")
    request_id: str = Field(examples=["req_0198f2c3a4b5"])
    details: Any = Field(default=None, description="For invalid input: a list of `{field, message}`.")


def _error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    meanings = {
        400: "The body is not JSON.",
        401: "Missing or invalid credentials.",
        404: "The caller has no such todo.",
        409: "The caller has the maximum number of todos.",
        422: "A value is not acceptable.",
        503: "The database is not available.",
    }
    return {status: {"model": TodoError, "description": meanings[status]} for status in (401, *statuses, 503)}


class _Route(APIRoute):
    """Reports invalid input with the same messages as the tools."""

    @override
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_and_explain(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as error:
                raise _client_error(error) from None

        return handle_and_explain


def _client_error(error: RequestValidationError) -> BackchannelError:
    errors = error.errors()
    if any(each["type"] == "json_invalid" for each in errors):
        return InvalidRequestError("The body is not valid JSON. Send one JSON object.")
    return to_invalid_input(errors, skip=1)


TodoId = Annotated[str, Path(description="The todo's id, `todo_…`.")]


class _Endpoints:
    def __init__(self, service: TodoService) -> None:
        self._service = service

    async def list_todos(self, context: _Caller, parameters: Annotated[TodoParameters, Query()]) -> TodoList:
        """The caller's todos that match the filters and the search."""
        query = validate(TodoQuery, {**parameters.model_dump(exclude={"q"}), "query": parameters.q})
        page = await self._service.search(context.identity, query)
        return TodoList(
            data=page.todos,
            total=page.total,
            limit=page.limit,
            offset=page.offset,
            has_more=page.offset + len(page.todos) < page.total,
        )

    async def create_todo(self, context: _Caller, new: NewTodo, request: Request, response: Response) -> Todo:
        """Create a todo. The header `Location` has its path."""
        todo = await self._service.create(context.identity, new)
        response.headers["Location"] = request.url_for("get_todo", todo_id=todo.id).path
        return todo

    async def get_todo(self, context: _Caller, todo_id: TodoId) -> Todo:
        """One todo."""
        return await self._service.get(context.identity, todo_id)

    async def update_todo(self, context: _Caller, todo_id: TodoId, changes: TodoChanges) -> Todo:
        """Change the fields in the body. `due_date` null removes the due date."""
        return await self._service.update(context.identity, todo_id, changes)

    async def delete_todo(self, context: _Caller, todo_id: TodoId) -> None:
        """Delete a todo permanently."""
        await self._service.delete(context.identity, todo_id)

    async def complete_todo(self, context: _Caller, todo_id: TodoId) -> Todo:
        """Mark a todo as completed. Completing it again changes nothing."""
        return await self._service.complete(context.identity, todo_id)


def todo_router(service: TodoService) -> APIRouter:
    """The router of `/todos`. Errors are raised as `BackchannelError`, which the server turns into responses."""
    api = _Endpoints(service)
    router = APIRouter(prefix="/todos", tags=["todos"], route_class=_Route)
    one = "/{todo_id}"
    router.get("", responses=_error_responses(422))(api.list_todos)
    router.post("", status_code=201, responses={**_LOCATION, **_error_responses(400, 409, 422)})(
        api.create_todo
    )
    router.get(one, responses=_error_responses(404, 422))(api.get_todo)
    router.patch(one, responses=_error_responses(400, 404, 422))(api.update_todo)
    router.delete(one, status_code=204, responses=_error_responses(404, 422))(api.delete_todo)
    router.post(f"{one}/complete", responses=_error_responses(404, 422))(api.complete_todo)
    return router


_LOCATION: dict[int | str, dict[str, Any]] = {
    201: {"headers": {"Location": {"description": "The new todo's path.", "schema": {"type": "string"}}}}
}
