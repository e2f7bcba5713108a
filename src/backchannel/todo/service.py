"""The todos of one person at a time: every method takes the identity whose todos are meant.

Somebody else's todo is answered exactly as one that does not exist.
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
from backchannel.todo.values import clipped

MAX_TODOS = 10_000
"""How many todos one person can keep. A search compares all of them, so this is its bound as well."""

_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")
_LIST_ORDER = (
    case((todos.c.status == "completed", 1), else_=0),
    # WritableRunLog out, because NULLS LAST is not known to every database.
    case((todos.c.due_at.is_(None), 1), else_=0),
    todos.c.due_at,
    todos.c.priority.desc(),
    todos.c.created_at,
    todos.c.id,
)

_log = structlog.get_logger(__name__)


def _id_of(identity: Identity, key: str) -> str:
    digest = hashlib.sha256(f"{identity.tenant}\x00{identity.user}\x00{key}".encode()).hexdigest()
    return f"todo_{digest[:32]}"


def _utc_now() -> datetime:
    return datetime.now(UTC)


class TodoService:
    """Todos in a database.

    Args:
        database: Has the tables of `MIGRATIONS`.
        max_todos: How many todos one person can keep.
        clock: The present moment, with its time zone.

    Every method raises `UnavailableError` when the database cannot be reached; the cause is logged.
    """

    def __init__(
        self, database: Database, *, max_todos: int = MAX_TODOS, clock: Callable[[], datetime] = _utc_now
    ) -> None:
        self.database = database
        self._max_todos = max_todos
        self._clock = clock

    async def create(self, identity: Identity, new: NewTodo, *, key: str | None = None) -> Todo:
        """Keep a new todo, pending.

        Args:
            key: Names the attempt: with the same key again, the todo is the first one's, whatever has become of it.

        Raises:
            ConflictError: The person has as many todos as one can keep.
        """
        now = self._clock()
        values: dict[str, Any] = {
            "id": prefixed_id("todo") if key is None else _id_of(identity, key),
            "title": new.title,
            "description": new.description,
            "priority": new.priority,
            "status": "pending",
            **_due_values(new.due_date),
            "created_at": now,
            "updated_at": now,
            "completed_at": None,
        }
        await self._keep(identity, values)
        return _todo(values)

    @retryable
    async def _keep(self, identity: Identity, values: Mapping[str, Any]) -> None:
        # Not changed if it is there: the same key came again, or a commit took place of which nobody knew.
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
        """One todo.

        Raises:
            NotFoundError: The person has no such todo.
        """
        async with self._read() as connection:
            return await _get(connection, identity, todo_id)

    @retryable
    async def list(self, identity: Identity, which: TodoFilter | None = None) -> TodoPage:
        """The person's todos: open before completed, then by due date (none comes last), then the highest
        priority first, then the oldest first."""
        which = which or TodoFilter()
        conditions = _conditions(which)
        async with self._read() as connection:
            total = await _count(connection, identity, *conditions)
            statement = select_owned(identity, todos).where(*conditions).order_by(*_LIST_ORDER)
            found = await connection.execute(statement.limit(which.limit).offset(which.offset))
            return _page(which, [_todo(row) for row in found.mappings()], total)

    @retryable
    async def search(self, identity: Identity, which: TodoQuery) -> TodoPage:
        """The person's todos that match the words of the query, the most relevant first; equally relevant
        ones in the order of `list`. Without words it is the same as `list`.

        Words are matched as data, without wildcards, and a typo is forgiven: see `relevance`.
        """
        if not which.query:
            return await self.list(identity, which)
        columns = (todos.c.id, todos.c.title, todos.c.description)
        statement = select_owned(identity, todos, *columns).where(*_conditions(which)).order_by(*_LIST_ORDER)
        async with self._read() as connection:
            found = await connection.execute(statement.limit(MAX_TODOS))
            candidates = [Candidate(*row) for row in found]
        # Thousands of todos take long enough to keep everybody else waiting: no connection, no event loop.
        ids = await asyncio.to_thread(rank, which.query, candidates)
        shown = ids[which.offset : which.offset + which.limit]
        async with self._read() as connection:
            rows = await connection.execute(select_owned(identity, todos).where(todos.c.id.in_(shown)))
            by_id = {row["id"]: _todo(row) for row in rows.mappings()}
        # A todo may have been deleted meanwhile.
        return _page(which, [by_id[todo_id] for todo_id in shown if todo_id in by_id], len(ids))

    @retryable
    async def update(self, identity: Identity, todo_id: str, changes: TodoChanges) -> Todo:
        """Change the fields that were set in `changes`. With none set, the todo stays as it is.

        Raises:
            NotFoundError: The person has no such todo.
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
        """Mark a todo as completed. One that is completed already stays as it is.

        Raises:
            NotFoundError: The person has no such todo.
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
        """Remove a todo for good, and say what it was.

        Raises:
            NotFoundError: The person has no such todo.
        """
        async with self._write() as connection:
            todo = await _get(connection, identity, todo_id)
            await connection.execute(delete_owned(identity, todos).where(todos.c.id == todo.id))
        return todo

    def _changed_values(self, changes: TodoChanges) -> dict[str, Any]:
        fields = changes.model_dump(exclude_unset=True)
        if not fields:
            return {}
        now = self._clock()
        if "due_date" in fields:
            fields |= _due_values(fields.pop("due_date"))
        if fields.get("status") == "completed":
            # Decided by the database: a todo that is completed twice keeps the moment of the first time.
            fields["completed_at"] = func.coalesce(todos.c.completed_at, now, type_=todos.c.completed_at.type)
        elif "status" in fields:
            fields["completed_at"] = None
        return {**fields, "updated_at": now}

    @asynccontextmanager
    async def _read(self) -> AsyncGenerator[AsyncConnection]:
        async with _reachable(), self.database.read() as connection:
            yield connection

    @asynccontextmanager
    async def _write(self) -> AsyncGenerator[AsyncConnection]:
        async with _reachable(), self.database.write() as connection:
            yield connection


@asynccontextmanager
async def _reachable() -> AsyncGenerator[None]:
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        # The driver's own words: SQLAlchemy's would hold what people wrote.
        _log.error("todo_database_failed", error=type(error).__name__, cause=str(getattr(error, "orig", "")))
        raise UnavailableError("The todo list cannot be reached right now.") from error


async def _count(connection: AsyncConnection, identity: Identity, *conditions: ColumnElement[bool]) -> int:
    statement = select_owned(identity, todos, func.count()).where(*conditions)
    return (await connection.execute(statement)).scalar_one()


async def _get(connection: AsyncConnection, identity: Identity, todo_id: str) -> Todo:
    # Not every database takes every text as a parameter, and no id looks like that.
    if _ID.fullmatch(todo_id):
        found = await connection.execute(select_owned(identity, todos).where(todos.c.id == todo_id))
        if row := found.mappings().one_or_none():
            return _todo(row)
    raise NotFoundError(f"No todo has the id {clipped(todo_id)}. List or search the todos to find its id.")


def _conditions(which: TodoFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if which.status is not None:
        conditions.append(todos.c.status == which.status)
    if which.priority is not None:
        conditions.append(todos.c.priority == which.priority)
    if which.due_after is not None:
        conditions.append(todos.c.due_at >= DueDate.parse(which.due_after).first_moment())
    if which.due_before is not None:
        conditions.append(todos.c.due_at <= DueDate.parse(which.due_before).last_moment())
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


def _page(which: TodoFilter, found: Sequence[Todo], total: int) -> TodoPage:
    return TodoPage(todos=[*found], total=total, limit=which.limit, offset=which.offset)
