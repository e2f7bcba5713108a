"""Nobody reaches somebody else's todos: neither another user, nor the same name in another tenant."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from backchannel.context import Identity
from backchannel.errors import NotFoundError
from backchannel.todo.models import NewTodo, Todo, TodoChanges, TodoFilter, TodoQuery
from backchannel.todo.service import TodoService

pytestmark = pytest.mark.row("D5")

ATTACKS: dict[str, Callable[[TodoService, Identity, str], Awaitable[Any]]] = {
    "get": lambda service, identity, todo_id: service.get(identity, todo_id),
    "update": lambda service, identity, todo_id: service.update(
        identity, todo_id, TodoChanges.model_validate({"title": "Stolen", "status": "completed"})
    ),
    "update nothing": lambda service, identity, todo_id: service.update(
        identity, todo_id, TodoChanges.model_validate({})
    ),
    "complete": lambda service, identity, todo_id: service.complete(identity, todo_id),
    "delete": lambda service, identity, todo_id: service.delete(identity, todo_id),
}

ANN = Identity("ann", tenant="acme")
STRANGERS = [Identity("eve", tenant="acme"), Identity("ann", tenant="other"), Identity("acme", tenant="ann")]


@pytest.fixture
async def secret(service: TodoService) -> Todo:
    return await service.create(ANN, NewTodo(title="Secret", priority=3, due_date="2026-11-23"))


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("stranger", STRANGERS, ids=lambda each: "-".join(each.owner))
async def test_a_stranger_cannot_touch_a_todo(
    service: TodoService, secret: Todo, stranger: Identity, attack: str
) -> None:
    own = await service.create(stranger, NewTodo(title="Own"))
    with pytest.raises(NotFoundError) as refused:
        await ATTACKS[attack](service, stranger, secret.id)
    with pytest.raises(NotFoundError) as missing:
        await ATTACKS[attack](service, stranger, "todo_none")
    # The answer does not tell whether there is such a todo.
    assert refused.value.message.replace(secret.id, "ID") == missing.value.message.replace("todo_none", "ID")
    assert await service.get(ANN, secret.id) == secret
    assert await service.get(stranger, own.id) == own


@pytest.mark.parametrize("stranger", STRANGERS, ids=lambda each: "-".join(each.owner))
async def test_a_stranger_sees_nothing(service: TodoService, secret: Todo, stranger: Identity) -> None:
    for page in (
        await service.list(stranger),
        await service.list(stranger, TodoFilter(priority=3, due_after="2026-11-23", due_before="2026-11-23")),
        await service.search(stranger, TodoQuery(query="secret")),
        await service.search(stranger, TodoQuery(query="secert")),
    ):
        assert (page.todos, page.total) == ([], 0)
    assert (await service.search(ANN, TodoQuery(query="secert"))).todos == [secret]


async def test_each_sees_their_own(service: TodoService) -> None:
    people = [ANN, *STRANGERS]
    for person in people:
        await service.create(person, NewTodo(title=f"Milk of {person.user} at {person.tenant}"))
    for person in people:
        for page in (await service.list(person), await service.search(person, TodoQuery(query="milk"))):
            assert [todo.title for todo in page.todos] == [f"Milk of {person.user} at {person.tenant}"]
