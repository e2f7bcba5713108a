"""A small todo assistant for tests: the tools over a list in memory, the agents, and a conversation with them."""

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

from agents import Agent, RunConfig, RunContextWrapper, Runner, Tool, function_tool
from agents.items import ToolCallItem, TResponseInputItem
from openai.types.responses import ResponseFunctionToolCall
from rapidfuzz import fuzz

from backchannel.todo.offline import TodoOfflineModel

NOW = datetime(2026, 11, 22, 12, 0)
"""A Sunday, at noon."""

type Json = dict[str, Any]


def at_noon() -> datetime:
    """The fixed clock."""
    return NOW


def model() -> TodoOfflineModel:
    """The model under test: fixed clock, no pacing."""
    return TodoOfflineModel(clock=at_noon, words_per_second=0)


def _error(code: str, message: str, name: str) -> str:
    return json.dumps({"error": {"code": code, "message": message, "field": name}})


@dataclass
class FakeTodos:
    """Todos in memory behind tools that behave as the real ones promise to."""

    rows: list[Json] = field(default_factory=list[Json])
    made: int = 0

    def put(self, title: str, **fields: Any) -> Json:
        """Adds a todo whose id is `todo_1`, `todo_2` and so on."""
        self.made += 1
        row: Json = {
            "id": f"todo_{self.made}", "title": title, "description": "", "priority": 0, "status": "pending",
            "due_date": None, "created_at": (NOW + timedelta(seconds=self.made)).isoformat() + "Z",
            "updated_at": NOW.isoformat() + "Z", "completed_at": None,
        }  # fmt: skip
        row.update(fields)
        self.rows.append(row)
        return row

    def titles(self) -> list[str]:
        """The titles, oldest first."""
        return [str(row["title"]) for row in self.rows]

    def row(self, title: str) -> Json:
        """The todo with this title."""
        return next(row for row in self.rows if row["title"] == title)

    def find(self, todo_id: str) -> Json | None:
        return next((row for row in self.rows if row["id"] == todo_id), None)

    def write(self, row: Json, values: Json) -> str:
        if not 0 <= (values.get("priority") or 0) <= 5:
            return _error(
                "invalid_input", f"priority must be 0 to 5; you gave {values['priority']}.", "priority"
            )
        title = values.get("title")
        if title is not None and not 1 <= len(title.strip()) <= 200:
            return _error("invalid_input", "title must have 1 to 200 characters.", "title")
        row.update({name: value for name, value in values.items() if value is not None})
        return json.dumps({"todo": row})

    def sorted(self) -> list[Json]:
        def key(row: Json) -> tuple[bool, bool, str, int, str]:
            due = row["due_date"]
            return (row["status"] == "completed", due is None, due or "", -row["priority"], row["created_at"])

        return sorted(self.rows, key=key)


Todos = RunContextWrapper[FakeTodos]


@function_tool
async def create_todo(
    todos: Todos, title: str, description: str = "", priority: int = 0, due_date: str | None = None
) -> str:
    """Adds a todo."""
    row = todos.context.put(title)
    answer = todos.context.write(
        row, {"title": title, "description": description, "priority": priority, "due_date": due_date}
    )
    if "error" in answer:
        todos.context.rows.remove(row)
    return answer


@function_tool
async def list_todos(
    todos: Todos, status: str | None = None, priority: int | None = None, limit: int = 20, offset: int = 0
) -> str:
    """Lists todos."""
    rows = [
        row
        for row in todos.context.sorted()
        if status in {None, row["status"]} and priority in {None, row["priority"]}
    ]
    shown = rows[offset : offset + limit]
    return json.dumps({"todos": shown, "total": len(rows), "limit": limit, "offset": offset})


@function_tool
async def update_todo(
    todos: Todos,
    todo_id: str,
    title: str | None = None,
    description: str | None = None,
    priority: int | None = None,
    due_date: str | None = None,
    status: str | None = None,
    clear_due_date: bool = False,
) -> str:
    """Changes a todo."""
    row = todos.context.find(todo_id)
    if row is None:
        return _error("not_found", "There is no such todo; list the todos to see them.", "todo_id")
    if clear_due_date:
        row["due_date"] = None
    changes = {
        "title": title,
        "description": description,
        "priority": priority,
        "due_date": due_date,
        "status": status,
    }
    return todos.context.write(row, changes)


@function_tool
async def complete_todo(todos: Todos, todo_id: str) -> str:
    """Completes a todo."""
    row = todos.context.find(todo_id)
    if row is None:
        return _error("not_found", "There is no such todo; list the todos to see them.", "todo_id")
    row.update(status="completed", completed_at=NOW.isoformat() + "Z")
    return json.dumps({"todo": row})


@function_tool
async def delete_todo(todos: Todos, todo_id: str) -> str:
    """Deletes a todo."""
    row = todos.context.find(todo_id)
    if row is None:
        return _error("not_found", "There is no such todo; list the todos to see them.", "todo_id")
    todos.context.rows.remove(row)
    return json.dumps({"deleted": row})


@function_tool
async def search_todos(
    todos: Todos,
    query: str | None = None,
    status: str | None = None,
    priority: int | None = None,
    due_after: str | None = None,
    due_before: str | None = None,
    limit: int = 20,
) -> str:
    """Searches todos."""
    rows = [
        row
        for row in todos.context.sorted()
        if status in {None, row["status"]}
        and priority in {None, row["priority"]}
        and (due_after is None or (row["due_date"] or "") >= due_after)
        and (due_before is None or "" < (row["due_date"] or "") <= due_before + "T99")
        and (not query or fuzz.partial_ratio(query.lower(), row["title"].lower()) >= 80)
    ]
    return json.dumps({"todos": rows[:limit], "total": len(rows), "query": query})


@function_tool
async def describe_capabilities(todos: Todos) -> str:
    """Says what the assistant can do."""
    entries = [{"title": "Add todos", "examples": ["add buy milk tomorrow at 5pm"]}]
    return json.dumps({"model": "offline rule-based stand-in", "capabilities": entries})


LOOKING: list[Tool] = [list_todos, search_todos]
ALL: list[Tool] = [create_todo, update_todo, complete_todo, delete_todo, *LOOKING]
SPECIALISTS: list[Agent[FakeTodos]] = [
    Agent(name="Todo", handoff_description="Adds, lists and changes todos.", tools=ALL),
    Agent(name="Search", handoff_description="Finds todos.", tools=LOOKING),
    Agent(name="Help", handoff_description="Explains itself.", tools=[describe_capabilities]),
]
TRIAGE: Agent[FakeTodos] = Agent(name="Triage", handoffs=list(SPECIALISTS))
SUPERVISOR: Agent[FakeTodos] = Agent(
    name="Supervisor",
    tools=[
        agent.as_tool(
            f"{agent.name.lower()}_assistant",
            agent.handoff_description or "",
            run_config=RunConfig(model=model(), tracing_disabled=True),
        )
        for agent in SPECIALISTS
    ],
)


@dataclass
class Chat:
    """A conversation with an agent. `calls` holds the calls of the last turn: name and arguments."""

    agent: Agent[FakeTodos]
    todos: FakeTodos = field(default_factory=FakeTodos)
    history: list[TResponseInputItem] = field(default_factory=list[TResponseInputItem])
    calls: list[tuple[str, Json]] = field(default_factory=list[tuple[str, Json]])
    last_agent: str = ""

    async def say(self, text: str) -> str:
        """The answer to one message, with all that led to it in `history`."""
        items: list[TResponseInputItem] = [*self.history, {"role": "user", "content": text}]
        config = RunConfig(model=model(), tracing_disabled=True)
        result = await Runner.run(self.agent, items, context=self.todos, run_config=config, max_turns=12)
        self.history = result.to_input_list()
        self.last_agent = result.last_agent.name
        self.calls = [
            (call.name, cast(Json, json.loads(call.arguments or "{}")))
            for item in result.new_items
            if isinstance(item, ToolCallItem) and isinstance(call := item.raw_item, ResponseFunctionToolCall)
        ]
        return str(result.final_output)

    def forget_calls(self) -> None:
        """Leaves only what was said in the history, as a store that keeps no tool calls would."""
        self.history = [item for item in self.history if "role" in item]
