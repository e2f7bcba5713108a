"""The tools, called by a scripted model through the SDK's own runner."""

import json
from dataclasses import replace
from typing import Any

import pytest
from agents import Agent, RunConfig, Runner
from agents.exceptions import UserError
from agents.items import ToolCallOutputItem
from agents.testing import ScriptedModel, assistant_message, function_call
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from backchannel.context import Identity, RequestContext
from backchannel.errors import InvalidInputError
from backchannel.settings import Settings
from backchannel.sql import Database
from backchannel.todo.arguments import CreateTodo, parse
from backchannel.todo.models import NewTodo, TodoQuery
from backchannel.todo.service import TodoService
from backchannel.todo.tools import TodoTools

pytestmark = pytest.mark.row("B1", "B2", "B3", "B4")

OFFLINE = Settings.model_validate({"model": "offline"})


async def call(service: TodoService, who: Any, name: str, arguments: str | dict[str, Any]) -> dict[str, Any]:
    """What a tool answers, in a run that then goes on to its end."""
    tools = TodoTools(service, OFFLINE)
    model = ScriptedModel(
        [[function_call(name, arguments, call_id="call_1")], [assistant_message("The end.")]]
    )
    agent = Agent[Any](name="Any", tools=[*tools.todo, *tools.help])
    config = RunConfig(model=model, tracing_disabled=True)
    result = await Runner.run(agent, "Go", context=who, run_config=config)
    if result.interruptions:
        state = result.to_state()
        state.approve(result.interruptions[0])
        result = await Runner.run(agent, state, run_config=config)
    assert result.final_output == "The end."
    model.assert_complete()
    outputs = [item.output for item in result.new_items if isinstance(item, ToolCallOutputItem)]
    assert len(outputs) == 1
    assert isinstance(outputs[0], str)
    return json.loads(outputs[0])


async def test_create(service: TodoService, ann: Identity) -> None:
    answer = await call(
        service,
        ann,
        "create_todo",
        {"title": "Buy oat milk", "due_date": "2026-11-23T17:00:00", "priority": 4},
    )
    todo_id = answer["todo"]["id"]
    assert answer == {
        "todo": {
            "id": todo_id,
            "title": "Buy oat milk",
            "description": "",
            "priority": 4,
            "status": "pending",
            "due_date": "2026-11-23T17:00:00",
            "created_at": "2026-11-22T12:00:01Z",
            "updated_at": "2026-11-22T12:00:01Z",
            "completed_at": None,
        }
    }
    assert (await service.get(ann, todo_id)).model_dump(mode="json") == answer["todo"]


async def test_null_is_the_same_as_left_out(service: TodoService, ann: Identity) -> None:
    answer = await call(
        service, ann, "create_todo", {"title": "x", "description": None, "priority": None, "due_date": None}
    )
    todo = answer["todo"]
    assert (todo["description"], todo["priority"], todo["due_date"]) == ("", 0, None)
    nothing: dict[str, Any] = {"status": None, "priority": None, "limit": None, "offset": None}
    assert await call(service, ann, "list_todos", nothing) == {
        "todos": [todo],
        "total": 1,
        "limit": 20,
        "offset": 0,
    }
    answer = await call(service, ann, "search_todos", {"query": None, "due_after": None, "limit": None})
    assert answer == {"todos": [todo], "total": 1, "query": ""}


async def test_list_and_search(service: TodoService, ann: Identity) -> None:
    for number in range(3):
        await service.create(ann, NewTodo(title=f"Buy milk {number}", priority=number))
    answer = await call(service, ann, "list_todos", {"limit": 1, "offset": 1, "status": "pending"})
    assert [todo["title"] for todo in answer["todos"]] == ["Buy milk 1"]
    assert (answer["total"], answer["limit"], answer["offset"]) == (3, 1, 1)
    answer = await call(service, ann, "list_todos", {"priority": 2})
    assert [todo["title"] for todo in answer["todos"]] == ["Buy milk 2"]
    answer = await call(service, ann, "search_todos", {"query": " mlik ", "limit": 2})
    assert (len(answer["todos"]), answer["total"], answer["query"]) == (2, 3, "mlik")


async def test_update_complete_delete(service: TodoService, ann: Identity) -> None:
    made = await service.create(ann, NewTodo(title="Milk", description="oat", due_date="2026-11-23"))
    answer = await call(
        service, ann, "update_todo", {"todo_id": made.id, "due_date": "2026-11-27", "title": None}
    )
    assert (answer["todo"]["due_date"], answer["todo"]["title"]) == ("2026-11-27", "Milk")
    answer = await call(service, ann, "update_todo", {"todo_id": made.id, "clear_due_date": True})
    assert (answer["todo"]["due_date"], answer["todo"]["description"]) == (None, "oat")
    for _ in range(2):
        answer = await call(service, ann, "complete_todo", {"todo_id": made.id})
        assert answer["todo"]["status"] == "completed"
    answer = await call(service, ann, "update_todo", {"todo_id": made.id, "status": "pending"})
    assert (answer["todo"]["status"], answer["todo"]["completed_at"]) == ("pending", None)
    assert await call(service, ann, "delete_todo", {"todo_id": made.id}) == {"deleted": answer["todo"]}
    assert (await service.list(ann)).total == 0


async def test_delete_several(service: TodoService, ann: Identity) -> None:
    made = [await service.create(ann, NewTodo(title=f"{number}")) for number in range(2)]
    ids = [made[1].id, "todo_gone", made[1].id]
    answer = await call(service, ann, "delete_todos", {"todo_ids": ids})
    assert [todo["title"] for todo in answer["deleted"]] == ["1"]
    assert answer["not_found"] == ["todo_gone"]
    assert [todo.title for todo in (await service.list(ann)).todos] == ["0"]


@pytest.mark.parametrize("arguments", ["{}", "", " "])
async def test_describe_capabilities(service: TodoService, ann: Identity, arguments: str) -> None:
    answer = await call(service, ann, "describe_capabilities", arguments)
    assert answer["model"] == "offline rule-based stand-in"
    assert len(answer["capabilities"]) == 6
    for capability in answer["capabilities"]:
        assert capability["title"]
        assert capability["examples"]


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"model": "gpt-x"}, "gpt-x"),
        ({"model": "offline", "OPENAI_API_KEY": "k"}, "offline rule-based stand-in"),
        ({}, "offline rule-based stand-in"),
    ],
)
async def test_describe_capabilities_names_the_model(
    monkeypatch: pytest.MonkeyPatch, service: TodoService, given: dict[str, Any], name: str
) -> None:
    for variable in ("BACKCHANNEL_MODEL", "OPENAI_API_KEY"):
        monkeypatch.delenv(variable, raising=False)
    (tool,) = TodoTools(service, Settings.model_validate(given)).help
    agent = Agent[Any](name="Help", tools=[tool])
    model = ScriptedModel(
        [[function_call(tool.name, "{}", call_id="call_1")], [assistant_message("The end.")]]
    )
    result = await Runner.run(
        agent, "Go", context=Identity("x"), run_config=RunConfig(model=model, tracing_disabled=True)
    )
    assert f'"model": "{name}"' in json.dumps(result.to_input_list()).replace('\\"', '"')


@pytest.mark.parametrize(
    ("name", "arguments", "field", "message"),
    [
        ("create_todo", {"title": "x", "priority": 9}, "priority", "priority must be 0 to 5; you gave 9."),
        ("create_todo", {"title": ""}, "title", "title must have 1 to 200 characters; you gave 0."),
        ("create_todo", {"title": None}, "title", "title is required."),
        (
            "create_todo",
            {"title": "x", "priority": "4"},
            "priority",
            'priority must be a whole number from 0 to 5; you gave "4".',
        ),
        (
            "create_todo",
            {"title": "x", "user_id": "ann"},
            "user_id",
            'There is no field "user_id". The fields are: title, description, priority, due_date.',
        ),
        ("list_todos", {"limit": 101}, "limit", "limit must be 1 to 100; you gave 101."),
        ("list_todos", {"offset": -1}, "offset", "offset must be 0 to 1000000; you gave -1."),
        (
            "search_todos",
            {"due_after": "2026-12-02", "due_before": "2026-12-01"},
            "due_before",
            "due_before (2026-12-01) must not be earlier than due_after (2026-12-02).",
        ),
        ("update_todo", {"title": "x"}, "todo_id", "todo_id is required."),
        (
            "update_todo",
            {"todo_id": "todo_1", "due_date": "2026-12-01", "clear_due_date": True},
            "clear_due_date",
            "Give due_date or clear_due_date, not both.",
        ),
        (
            "update_todo",
            {"todo_id": "todo_1", "clear_due_date": "yes", "title": "x"},
            "clear_due_date",
            'clear_due_date must be true or false; you gave "yes".',
        ),
        ("complete_todo", {}, "todo_id", "todo_id is required."),
        ("delete_todo", {"todo_id": 7}, "todo_id", "todo_id must be text; you gave 7."),
        ("delete_todos", {"todo_ids": []}, "todo_ids", "todo_ids must be a list of 1 to 100 ids."),
        ("delete_todos", {"todo_ids": "todo_1"}, "todo_ids", "todo_ids must be a list of 1 to 100 ids."),
        ("delete_todos", {"todo_ids": ["t"] * 101}, "todo_ids", "todo_ids must be a list of 1 to 100 ids."),
        (
            "delete_todos",
            {"todo_ids": ["todo_1", 2]},
            "todo_ids",
            "todo_ids must have only ids of todos, which are texts such as todo_….",
        ),
    ],
)
async def test_values_that_are_refused(
    service: TodoService, ann: Identity, name: str, arguments: dict[str, Any], field: str, message: str
) -> None:
    error = {"code": "invalid_input", "message": message, "field": field}
    assert await call(service, ann, name, arguments) == {"error": error}
    assert (await service.list(ann)).total == 0


async def test_a_change_without_a_change(service: TodoService, ann: Identity) -> None:
    answer = await call(service, ann, "update_todo", {"todo_id": "todo_1", "clear_due_date": False})
    assert answer["error"]["message"].startswith("Nothing to change: give title, ")


@pytest.mark.parametrize("name", ["update_todo", "complete_todo", "delete_todo"])
async def test_no_such_todo(service: TodoService, ann: Identity, name: str) -> None:
    arguments = {"todo_id": "todo_none"} | ({"title": "x"} if name == "update_todo" else {})
    answer = await call(service, ann, name, arguments)
    assert (answer["error"]["code"], answer["error"]["field"]) == ("not_found", "todo_id")
    assert "todo_none" in answer["error"]["message"]


@pytest.mark.parametrize(
    "arguments",
    [
        *("{", "nonsense", '{"title": "x"', "[]", "null", '"title"', "5"),
        *('{"title": "a\\u0000b"}', '{"title": NaN}', '{"title": {}}'),
        '{"title": ' + "9" * 6000 + "}",
    ],
)
async def test_malformed_arguments(service: TodoService, ann: Identity, arguments: str) -> None:
    answer = await call(service, ann, "create_todo", arguments)
    assert answer["error"]["code"] == "invalid_input"
    assert 0 < len(answer["error"]["message"]) < 300
    assert (await service.list(ann)).total == 0


@pytest.mark.parametrize("text", ["[" * 100_000, '{"title": "\\ud800"}', "\ud800", '{"\x00": 1}'])
def test_malformed_arguments_that_the_runner_itself_does_not_survive(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse(CreateTodo, text)
    assert len(caught.value.message.encode()) < 300


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    name=st.sampled_from(["create_todo", "list_todos", "update_todo", "search_todos", "complete_todo"]),
    arguments=st.text(max_size=20)
    | st.dictionaries(
        st.sampled_from(["title", "todo_id", "priority", "limit", "query", "due_date", "status"]),
        st.none() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.booleans(), max_size=2),
    ),
)
async def test_no_arguments_end_a_run(
    service: TodoService, ann: Identity, name: str, arguments: str | dict[str, Any]
) -> None:
    answer = await call(service, ann, name, arguments)
    assert answer.keys() & {"error", "todo", "todos"}


async def test_a_person_with_too_many_todos(database: Database, ann: Identity) -> None:
    answer = await call(TodoService(database, max_todos=0), ann, "create_todo", {"title": "x"})
    assert answer["error"]["code"] == "invalid_input"
    assert "as many as can be kept" in answer["error"]["message"]


async def test_a_database_that_fails(database: Database, service: TodoService, ann: Identity) -> None:
    async with database.write() as connection:
        await connection.execute(text("DROP TABLE todos"))
    unavailable = {"code": "unavailable", "message": "The todo list cannot be reached right now."}
    for name in ("create_todo", "search_todos"):
        arguments = {"title": "x"} if name == "create_todo" else {"query": "x"}
        assert await call(service, ann, name, arguments) == {"error": unavailable}


@pytest.mark.row("D5")
async def test_the_model_cannot_choose_whose_todos(
    service: TodoService, ann: Identity, eve: Identity
) -> None:
    made = await service.create(ann, NewTodo(title="Secret"))
    request = RequestContext(identity=eve)
    for name in ("complete_todo", "delete_todo", "update_todo"):
        arguments = {"todo_id": made.id} | ({"title": "x"} if name == "update_todo" else {})
        assert (await call(service, request, name, arguments))["error"]["code"] == "not_found"
        for field in ("user_id", "tenant", "identity"):
            answer = await call(service, request, name, {**arguments, field: "ann"})
            assert answer["error"]["code"] == "invalid_input"
    assert (await call(service, request, "search_todos", {"query": "secret"}))["total"] == 0
    assert (await call(service, request, "list_todos", {}))["total"] == 0
    assert await service.get(ann, made.id) == made


async def test_a_run_that_says_nothing_of_who_is_asking(service: TodoService) -> None:
    with pytest.raises(UserError, match="must be a RequestContext"):
        await call(service, object(), "list_todos", {})


async def test_several_calls_at_once(service: TodoService, ann: Identity) -> None:
    calls = [
        function_call("create_todo", {"title": title}, call_id=f"call_{title}")
        for title in ("milk", "eggs", "bread")
    ]
    model = ScriptedModel([calls, [assistant_message("Added.")]])
    agent = Agent[Any](name="Any", tools=[*TodoTools(service, OFFLINE).todo])
    await Runner.run(agent, "Go", context=ann, run_config=RunConfig(model=model, tracing_disabled=True))
    assert {todo.title for todo in (await service.list(ann)).todos} == {"milk", "eggs", "bread"}


async def test_the_schemas_fit_strict_mode(service: TodoService) -> None:
    tools = TodoTools(service, OFFLINE)
    for tool in (*tools.todo, *tools.help):
        schema = tool.params_json_schema
        assert tool.strict_json_schema
        assert schema["additionalProperties"] is False
        assert schema["required"] == [*schema["properties"]]
        for described in schema["properties"].values():
            assert described["description"]
        words = json.dumps(schema)
        for keyword in ("default", "maxLength", "minLength", "$ref", '"title": "'):
            assert keyword not in words
        assert tool.description


async def test_the_schema_of_one_tool(service: TodoService) -> None:
    schema = TodoTools(service, OFFLINE).todo[0].params_json_schema
    assert schema["properties"]["title"]["type"] == "string"
    assert schema["properties"]["priority"]["anyOf"] == [
        {"type": "integer", "minimum": 0, "maximum": 5},
        {"type": "null"},
    ]
    search = TodoTools(service, OFFLINE).search[0].params_json_schema
    assert search["properties"]["status"]["anyOf"][0]["enum"] == ["pending", "in_progress", "completed"]
    # A search takes what the service's query takes, but for paging.
    assert {*search["properties"]} == {*TodoQuery.model_fields} - {"offset"}


@pytest.mark.row("D5b")
async def test_a_caller_without_the_scope_is_not_asked_and_sees_no_title(
    service: TodoService, ann: Identity
) -> None:
    todos = [await service.create(ann, NewTodo(title=title)) for title in ("First", "Second")]
    limited = replace(ann, scopes=frozenset({"chat"}))
    tools = TodoTools(service, OFFLINE)
    arguments = {"todo_ids": [todo.id for todo in todos]}
    model = ScriptedModel(
        [[function_call("delete_todos", arguments, call_id="call_1")], [assistant_message("End")]]
    )
    agent = Agent[Any](name="Any", tools=[*tools.todo])
    result = await Runner.run(
        agent, "Go", context=limited, run_config=RunConfig(model=model, tracing_disabled=True)
    )
    assert result.interruptions == []
    outputs = [item.output for item in result.new_items if isinstance(item, ToolCallOutputItem)]
    assert json.loads(outputs[0])["error"]["code"] == "insufficient_scope"
    assert (await service.list(ann)).total == 2
