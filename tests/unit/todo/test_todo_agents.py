"""The agents: who has which tools, hand-offs and specialists as tools, and what they are told."""

import json
from datetime import datetime
from typing import Any, cast

import pytest
from agents import Agent, FunctionTool, Handoff, RunConfig, RunContextWrapper, Runner
from agents.exceptions import MaxTurnsExceeded, UserError
from agents.items import ToolCallOutputItem, TResponseInputItem
from agents.testing import ScriptedModel, assistant_message, function_call
from chatkit.agents import AgentContext
from chatkit.types import CustomTask, ThreadMetadata, ThreadStreamEvent

from backchannel.application import Application
from backchannel.context import Identity, RequestContext
from backchannel.settings import Settings
from backchannel.sql import Database
from backchannel.todo import assistant
from backchannel.todo.agents import supervisor, triage
from backchannel.todo.models import NewTodo
from backchannel.todo.service import TodoService
from backchannel.todo.tables import MIGRATIONS

pytestmark = pytest.mark.row("B1", "B2", "B3", "B4")

NOON = datetime(2026, 11, 22, 12, 0)


def settings(**given: Any) -> Settings:
    return Settings.model_validate({"model": "offline", **given})


def config(model: ScriptedModel) -> RunConfig:
    return RunConfig(model=model, tracing_disabled=True)


def call(name: str, arguments: str | dict[str, Any] = "{}", number: int = 1) -> list[Any]:
    return [function_call(name, arguments, call_id=f"call_{name}_{number}")]


def say(text: str) -> list[Any]:
    return [assistant_message(text)]


def tool_names(agent: Agent[Any]) -> list[str]:
    return [tool.name for tool in agent.tools]


class Chat(AgentContext[RequestContext]):
    """ChatKit's context, which remembers what was streamed."""

    streamed: list[dict[str, Any]]

    async def stream(self, event: ThreadStreamEvent) -> None:
        self.streamed.append(event.model_dump(mode="json"))


class Ids:
    """As much of a store as a workflow needs."""

    def generate_item_id(self, kind: str, _thread: object, _context: object) -> str:
        return f"{kind}_1"


def chat_of(identity: Identity) -> Chat:
    thread = ThreadMetadata(id="thr_1", created_at=NOON)
    return Chat(
        thread=thread,
        store=cast("Any", Ids()),
        request_context=RequestContext(identity=identity),
        streamed=[],
    )


async def test_triage_hands_off_and_has_no_tools(service: TodoService) -> None:
    front = triage(service, settings())
    assert (front.name, front.model, front.tools) == ("Triage", None, [])
    specialists = [agent for agent in front.handoffs if isinstance(agent, Agent)]
    assert {agent.name: tool_names(agent) for agent in specialists} == {
        "Todo": [
            "create_todo",
            "list_todos",
            "update_todo",
            "complete_todo",
            "delete_todo",
            "delete_todos",
            "search_todos",
        ],
        "Search": ["search_todos", "list_todos"],
        "Help": ["describe_capabilities"],
    }
    assert [Handoff.default_tool_name(agent) for agent in specialists] == [
        "transfer_to_todo",
        "transfer_to_search",
        "transfer_to_help",
    ]
    for agent in specialists:
        assert (agent.model, agent.handoffs) == (None, [])
        assert agent.model_settings == Agent(name="Any").model_settings
        assert agent.handoff_description


async def test_supervisor_has_specialists_as_tools(service: TodoService) -> None:
    agent = supervisor(service, settings())
    assert (agent.name, agent.model, agent.handoffs) == ("Supervisor", None, [])
    assert tool_names(agent) == ["todo_assistant", "search_assistant", "help_assistant"]
    for tool in agent.tools:
        assert isinstance(tool, FunctionTool)
        assert tool.params_json_schema["required"] == ["input"]
        assert [*tool.params_json_schema["properties"]] == ["input"]


@pytest.mark.parametrize("build", [triage, supervisor])
async def test_everyone_is_told_the_date_of_the_moment(service: TodoService, build: Any) -> None:
    moments = iter([NOON, datetime(2026, 12, 31, 23, 59)])
    agent: Agent[Any] = build(service, settings(), clock=lambda: next(moments))
    context = RunContextWrapper[Any](context=None)
    first, second = await agent.get_system_prompt(context), await agent.get_system_prompt(context)
    assert first is not None
    assert second is not None
    assert first.endswith(
        "Today is Sunday, 2026-11-22. It is 12:00 on the server's clock; the person's clock may differ."
    )
    assert "Today is Thursday, 2026-12-31. It is 23:59" in second
    assert first.partition("# Now")[0] == second.partition("# Now")[0]


async def test_the_default_clock(service: TodoService) -> None:
    before = datetime.now().date()
    prompt = await triage(service, settings()).get_system_prompt(RunContextWrapper[Any](context=None))
    assert prompt is not None
    assert any(f"{day:%Y-%m-%d}" in prompt for day in (before, datetime.now().date()))


@pytest.mark.parametrize(
    ("hand_off", "name", "tool"),
    [
        ("transfer_to_todo", "Todo", "create_todo"),
        ("transfer_to_search", "Search", "search_todos"),
        ("transfer_to_help", "Help", "describe_capabilities"),
    ],
)
async def test_a_hand_off(service: TodoService, ann: Identity, hand_off: str, name: str, tool: str) -> None:
    arguments = {"create_todo": {"title": "Milk"}, "search_todos": {"query": "milk"}}.get(tool, {})
    model = ScriptedModel([call(hand_off), call(tool, arguments), say("Here you are.")])
    front = triage(service, settings(), clock=lambda: NOON)
    result = await Runner.run(front, "Please", context=chat_of(ann), run_config=config(model))
    assert (result.last_agent.name, result.final_output) == (name, "Here you are.")
    assert [len(made.handoffs) for made in model.calls] == [3, 0, 0]
    assert "front desk" in (model.calls[0].system_instructions or "")
    assert "front desk" not in (model.calls[1].system_instructions or "")
    assert all("2026-11-22" in (made.system_instructions or "") for made in model.calls)
    assert (await service.list(ann)).total == (tool == "create_todo")


async def test_a_follow_up_changes_what_was_found(service: TodoService, ann: Identity) -> None:
    made = await service.create(ann, NewTodo(title="Buy milk"))
    front = triage(service, settings())
    model = ScriptedModel(
        [call("transfer_to_search"), call("search_todos", {"query": "milk"}), say("I found **Buy milk**.")]
    )
    found = await Runner.run(front, "Find milk", context=chat_of(ann), run_config=config(model))
    history: list[TResponseInputItem] = [
        *found.to_input_list(),
        {"role": "user", "content": "actually make it friday"},
    ]
    assert made.id in json.dumps(history)
    model = ScriptedModel(
        [
            call("transfer_to_todo", number=2),
            call("update_todo", {"todo_id": made.id, "due_date": "2026-11-27"}),
            say("Moved."),
        ]
    )
    await Runner.run(front, history, context=chat_of(ann), run_config=config(model))
    assert (await service.get(ann, made.id)).due_date == "2026-11-27"


def outputs(result: Any) -> list[str]:
    return [item.output for item in result.new_items if isinstance(item, ToolCallOutputItem)]


async def test_the_supervisor_calls_a_specialist(service: TodoService, ann: Identity) -> None:
    model = ScriptedModel(
        [
            call("todo_assistant", {"input": "Add milk"}),
            call("create_todo", {"title": "Milk"}),
            say("I added **Milk**."),
            say("Done, **Milk** is on your list."),
        ]
    )
    chat = chat_of(ann)
    agent = supervisor(service, settings(), clock=lambda: NOON)
    result = await Runner.run(agent, "Add it", context=chat, run_config=config(model))
    assert (result.last_agent.name, result.final_output) == ("Supervisor", "Done, **Milk** is on your list.")
    assert outputs(result) == ["I added **Milk**."]
    assert model.calls[1].input == [{"content": "Add milk", "role": "user"}]
    assert [todo.title for todo in (await service.list(ann)).todos] == ["Milk"]
    model.assert_complete()


async def test_the_person_sees_what_a_specialist_does(service: TodoService, ann: Identity) -> None:
    twice = [
        function_call("create_todo", {"title": title}, call_id=f"call_{title}") for title in ("Milk", "Eggs")
    ]
    model = ScriptedModel(
        [call("todo_assistant", {"input": "Add milk and eggs"}), twice, say("Added."), say("Done.")]
    )
    chat = chat_of(ann)
    await Runner.run(supervisor(service, settings()), "Go", context=chat, run_config=config(model))
    kinds = [(event["type"], event.get("update", {}).get("type")) for event in chat.streamed]
    assert kinds[0] == ("thread.item.added", None)
    assert sorted(kinds[1:]) == [
        ("thread.item.updated", "workflow.task.added"),
        ("thread.item.updated", "workflow.task.updated"),
        ("thread.item.updated", "workflow.task.updated"),
    ]
    places = [event["update"]["task_index"] for event in chat.streamed[1:]]
    assert sorted(places) == [0, 1, 1]
    assert chat.workflow_item is not None
    shown = [task for task in chat.workflow_item.workflow.tasks if isinstance(task, CustomTask)]
    assert [(task.title, task.status_indicator) for task in shown] == [("Create todo", "complete")] * 2


async def test_a_specialist_works_without_a_chat(service: TodoService, ann: Identity) -> None:
    model = ScriptedModel(
        [call("search_assistant", {"input": "milk?"}), call("search_todos"), say("None."), say("None.")]
    )
    result = await Runner.run(supervisor(service, settings()), "Go", context=ann, run_config=config(model))
    assert outputs(result) == ["None."]


@pytest.mark.parametrize("arguments", ["{", "[]", '{"input": 5}', '{"text": "Add milk"}', "{}"])
async def test_a_specialist_that_is_called_badly(service: TodoService, ann: Identity, arguments: str) -> None:
    model = ScriptedModel([call("todo_assistant", arguments), say("Sorry.")])
    result = await Runner.run(
        supervisor(service, settings()), "Go", context=chat_of(ann), run_config=config(model)
    )
    (output,) = outputs(result)
    assert json.loads(output)["error"]["code"] == "invalid_input"
    assert result.final_output == "Sorry."


async def test_a_specialist_whose_model_fails_fails_the_run(service: TodoService, ann: Identity) -> None:
    model = ScriptedModel([call("todo_assistant", {"input": "Go"}), ConnectionError("secret address")])
    # The SDK wraps what a tool raises; the specialist's failure is its cause.
    with pytest.raises(UserError) as caught:
        await Runner.run(
            supervisor(service, settings()), "Go", context=chat_of(ann), run_config=config(model)
        )
    assert isinstance(caught.value.__cause__, ConnectionError)
    assert model.remaining_steps == 0


async def test_a_specialist_that_does_not_end_is_stopped(service: TodoService, ann: Identity) -> None:
    inner = [call("list_todos", number=number) for number in range(3)]
    model = ScriptedModel([call("todo_assistant", {"input": "Go"}), *inner, say("too late")])
    with pytest.raises(MaxTurnsExceeded):
        await Runner.run(
            supervisor(service, settings(max_turns=3)), "Go", context=chat_of(ann), run_config=config(model)
        )
    assert model.remaining_steps == 1


@pytest.mark.parametrize(("form", "name"), [("triage", "Triage"), ("supervisor", "Supervisor")])
async def test_the_bundle(database: Database, form: str, name: str) -> None:
    bundle = assistant(settings(agents=form), database)
    assert isinstance(bundle, Application)
    assert bundle.agent.name == name
    assert [*bundle.migrations] == [MIGRATIONS]
    assert bundle.suggestions == (
        "Add buy oat milk tomorrow at 5pm, high priority",
        "What's due this week?",
        "Find milk",
        "What can you do?",
    )
    assert [router.prefix for router in bundle.routers] == ["/todos"]
