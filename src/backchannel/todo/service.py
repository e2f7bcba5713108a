"""Operations on the todos of one user, who is given by the identity that every method takes.

The todos of other users do not exist for these operations.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import structlog
from sqlalchemy import ColumnElement, case, func
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from backchannel.context import Identity
from backchannel.errors import ConflictError, NotFoundError, UnavailableError
from backchannel.ids import prefixed_id
from backchannel.sql import Database, delete_owned, retryable, select_owned, update_owned, upsert_owned
from backchannel.todo.due_dates import DueDate
from backchannel.todo.models import NewTodo, Todo, TodoChanges, TodoFilter, TodoPage, TodoQuery
from backchannel.todo.relevance import Candidate, rank
from backchannel.todo.tables import todos
from backchannel.todo.values import shortened

MAX_TODOS = 10_000
"""The most todos per user. A search ranks all of them, so this also limits its cost."""

_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")
_LIST_ORDER = (
    case((todos.c.status == "completed", 1), else_=0),
    # Not every database supports NULLS LAST.
    case((todos.c.due_at.is_(None), 1), else_=0),
    todos.c.due_at,
    todos.c.priority.desc(),
    todos.c.created_at,
    todos.c.id,
)

_log = structlog.get_logger(__name__)


def _id_from_key(identity: Identity, key: str) -> str:
    digest = hashlib.sha256(f"{identity.tenant}\x00{identity.user}\x00{key}".encode()).hexdigest()
    return f"todo_{digest[:32]}"


def _utc_now() -> datetime:
    return datetime.now(UTC)


class TodoService:
    """Todos in a database.

    Every method raises `UnavailableError` if the database is not available; the cause is logged.

    Args:
        database: A database with the tables of `MIGRATIONS`.
        max_todos: The most todos per user.
        clock: Returns the current time, with a time zone.
    """

    def __init__(
        self, database: Database, *, max_todos: int = MAX_TODOS, clock: Callable[[], datetime] = _utc_now
    ) -> None:
        self.database = database
        self._max_todos = max_todos
        self._clock = clock

    async def create(self, identity: Identity, new: NewTodo, *, key: str | None = None) -> Todo:
        """Create a todo with the status `pending`.

        Args:
            key: An idempotency key. A second call with the same key stores nothing, and does not recreate or reset a
                todo that was changed.

        Raises:
            ConflictError: The user has the maximum number of todos.
        """
        now = self._clock()
        values: dict[str, Any] = {
            "id": prefixed_id("todo") if key is None else _id_from_key(identity, key),
            "title": new.title,
            "description": new.description,
            "priority": new.priority,
            "status": "pending",
            **_due_values(new.due_date),
            "created_at": now,
            "updated_at": now,
            "completed_at": None,
        }
        await self._insert(identity, values)
        return _todo(values)

    @retryable
    async def _insert(self, identity: Identity, values: Mapping[str, Any]) -> None:
        # An existing row is not changed: a call with the same key was repeated, or an unconfirmed commit.
        new = upsert_owned(self.database.dialect, identity, todos, values, key=("id",), change=())
        async with self._write() as connection:
            if await _count(connection, identity) >= self._max_todos:
                raise ConflictError(
                    f"You have {self._max_todos} todos, and that is as many as can be kept. "
                    f"Delete some of them first."
                )
            await connection.execute(new)

    @retryable
    async def get(self, identity: Identity, todo_id: str) -> Todo:
        """The todo with an id.

        Raises:
            NotFoundError: The user has no such todo.
        """
        async with self._read() as connection:
            return await _get(connection, identity, todo_id)

    @retryable
    async def list(self, identity: Identity, filters: TodoFilter | None = None) -> TodoPage:
        """A page of the user's todos: open before completed, then by due date (todos without one last), then by
        descending priority, then by creation."""
        filters = filters or TodoFilter()
        conditions = _conditions(filters)
        async with self._read() as connection:
            total = await _count(connection, identity, *conditions)
            statement = select_owned(identity, todos).where(*conditions).order_by(*_LIST_ORDER)
            rows = await connection.execute(statement.limit(filters.limit).offset(filters.offset))
            return _page(filters, [_todo(row) for row in rows.mappings()], total)

    @retryable
    async def search(self, identity: Identity, filters: TodoQuery) -> TodoPage:
        """A page of the user's todos that match the query, most relevant first; equally relevant ones in the order of
        `list`. With an empty query the same as `list`.

        There are no wildcards or operators. Typos are corrected; see `relevance`.
        """
        if not filters.query:
            return await self.list(identity, filters)
        columns = (todos.c.id, todos.c.title, todos.c.description)
        statement = (
            select_owned(identity, todos, *columns).where(*_conditions(filters)).order_by(*_LIST_ORDER)
        )
        async with self._read() as connection:
            rows = await connection.execute(statement.limit(MAX_TODOS))
            candidates = [Candidate(*row) for row in rows]
        # Ranking thousands of todos takes long, so it holds no connection and does not block the event loop.
        ids = await asyncio.to_thread(rank, filters.query, candidates)
        page_ids = ids[filters.offset : filters.offset + filters.limit]
        async with self._read() as connection:
            rows = await connection.execute(select_owned(identity, todos).where(todos.c.id.in_(page_ids)))
            by_id = {row["id"]: _todo(row) for row in rows.mappings()}
        # A todo may have been deleted between the queries.
        return _page(filters, [by_id[todo_id] for todo_id in page_ids if todo_id in by_id], len(ids))

    @retryable
    async def update(self, identity: Identity, todo_id: str, changes: TodoChanges) -> Todo:
        """Change the fields that are set in `changes`. Without any, nothing is changed.

        Raises:
            NotFoundError: The user has no such todo.
        """
        values = self._changed_values(changes)
        async with self._write() as connection:
            if values and _ID.fullmatch(todo_id):
                await connection.execute(
                    update_owned(identity, todos).where(todos.c.id == todo_id).values(**values)
                )
            return await _get(connection, identity, todo_id)

    @retryable
    async def complete(self, identity: Identity, todo_id: str) -> Todo:
        """Mark a todo as completed. A completed todo is not changed.

        Raises:
            NotFoundError: The user has no such todo.
        """
        values = self._changed_values(TodoChanges(status="completed"))
        async with self._write() as connection:
            if _ID.fullmatch(todo_id):
                await connection.execute(
                    update_owned(identity, todos)
                    .where(todos.c.id == todo_id, todos.c.status != "completed")
                    .values(**values)
                )
            return await _get(connection, identity, todo_id)

    @retryable
    async def delete(self, identity: Identity, todo_id: str) -> Todo:
        """Delete a todo permanently, and return its last state.

        Raises:
            NotFoundError: The user has no such todo.
        """
        async with self._write() as connection:
            todo = await _get(connection, identity, todo_id)
            await connection.execute(delete_owned(identity, todos).where(todos.c.id == todo.id))
        return todo

    @retryable
    async def get_many(self, identity: Identity, todo_ids: Sequence[str]) -> Sequence[Todo]:
        """The user's todos with these ids, in their order. Ids without a todo are left out."""
        async with self._read() as connection:
            return await _get_many(connection, identity, todo_ids)

    @retryable
    async def delete_many(self, identity: Identity, todo_ids: Sequence[str]) -> Sequence[Todo]:
        """Delete the user's todos with these ids, in one transaction, and return their last state. Ids without a todo
        are left out."""
        async with self._write() as connection:
            found = await _get_many(connection, identity, todo_ids)
            if found:
                ids = [todo.id for todo in found]
                await connection.execute(delete_owned(identity, todos).where(todos.c.id.in_(ids)))
        return found

    def _changed_values(self, changes: TodoChanges) -> dict[str, Any]:
        fields = changes.model_dump(exclude_unset=True)
        if not fields:
            return {}
        now = self._clock()
        if "due_date" in fields:
            fields |= _due_values(fields.pop("due_date"))
        if fields.get("status") == "completed":
            # In SQL, so that concurrent calls keep the time of the first completion.
            fields["completed_at"] = func.coalesce(todos.c.completed_at, now, type_=todos.c.completed_at.type)
        elif "status" in fields:
            fields["completed_at"] = None
        return {**fields, "updated_at": now}

    @asynccontextmanager
    async def _read(self) -> AsyncGenerator[AsyncConnection]:
        async with _translate_errors(), self.database.read() as connection:
            yield connection

    @asynccontextmanager
    async def _write(self) -> AsyncGenerator[AsyncConnection]:
        async with _translate_errors(), self.database.write() as connection:
            yield connection


@asynccontextmanager
async def _translate_errors() -> AsyncGenerator[None]:
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        # Only the driver's message: SQLAlchemy's contains the parameters, which are user data.
        _log.error("todo_database_failed", error=type(error).__name__, cause=str(getattr(error, "orig", "")))
        raise UnavailableError("The todo list cannot be reached right now.") from error


async def _count(connection: AsyncConnection, identity: Identity, *conditions: ColumnElement[bool]) -> int:
    statement = select_owned(identity, todos, func.count()).where(*conditions)
    return (await connection.execute(statement)).scalar_one()


async def _get(connection: AsyncConnection, identity: Identity, todo_id: str) -> Todo:
    # Not every database accepts every text as a parameter, so malformed ids are not queried.
    if _ID.fullmatch(todo_id):
        rows = await connection.execute(select_owned(identity, todos).where(todos.c.id == todo_id))
        if row := rows.mappings().one_or_none():
            return _todo(row)
    raise NotFoundError(f"No todo has the id {shortened(todo_id)}. List or search the todos to find its id.")


async def _get_many(
    connection: AsyncConnection, identity: Identity, todo_ids: Sequence[str]
) -> Sequence[Todo]:
    wanted = [todo_id for todo_id in todo_ids if _ID.fullmatch(todo_id)]
    rows = await connection.execute(select_owned(identity, todos).where(todos.c.id.in_(wanted)))
    found = {todo.id: todo for todo in map(_todo, rows.mappings())}
    return [found[todo_id] for todo_id in wanted if todo_id in found]


def _conditions(filters: TodoFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if filters.status is not None:
        conditions.append(todos.c.status == filters.status)
    if filters.priority is not None:
        conditions.append(todos.c.priority == filters.priority)
    if filters.due_after is not None:
        conditions.append(todos.c.due_at >= DueDate.parse(filters.due_after).first_moment())
    if filters.due_before is not None:
        conditions.append(todos.c.due_at <= DueDate.parse(filters.due_before).last_moment())
    return conditions


def _due_values(due_date: str | None) -> dict[str, Any]:
    due = None if due_date is None else DueDate.parse(due_date)
    return {"due_at": due and due.at, "due_has_time": due is not None and due.has_time}


def _todo(row: Mapping[Any, Any]) -> Todo:
    due = None if row["due_at"] is None else DueDate(row["due_at"], row["due_has_time"])
    return Todo(
        id=row["id"],
        title=row["title"],
        description=row["description"],
        priority=row["priority"],
        status=row["status"],
        due_date=due and due.isoformat(),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        completed_at=row["completed_at"],
    )


def _page(filters: TodoFilter, page: Sequence[Todo], total: int) -> TodoPage:
    return TodoPage(todos=[*page], total=total, limit=filters.limit, offset=filters.offset)
