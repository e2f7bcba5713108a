"""What tools return, as the plain API shows it and as later turns hold it."""

import dataclasses
import enum
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from agents import Agent, ToolOutputText, function_tool
from pydantic import BaseModel

from backchannel.model_calls.model_input import EMPTY_OUTPUT
from backchannel.testing import Call, Say, ScriptedModel
from programs import ask, message

pytestmark = pytest.mark.row("K6")


class Weather(BaseModel):
    city: str
    degrees: float


@dataclasses.dataclass
class Point:
    x: int
    y: int


class Odd:
    def __str__(self) -> str:
        return "an odd one"


class Colour(enum.Enum):
    RED = "red"


LOOP: list[Any] = []
LOOP.append(LOOP)

OUTPUTS: list[tuple[Any, Any]] = [
    ({"status": "success", "ok": True, "none": None, "who": "Zoë’s"}, None),
    ([1, 2, {"a": ["b"]}], None),
    ((1, "two"), [1, "two"]),
    ({"only"}, ["only"]),
    (Weather(city="Köln", degrees=21.5), {"city": "Köln", "degrees": 21.5}),
    ([Weather(city="Ulm", degrees=1)], [{"city": "Ulm", "degrees": 1.0}]),
    (Point(1, 2), {"x": 1, "y": 2}),
    ({"at": datetime(2026, 1, 2, tzinfo=UTC), 7: Colour.RED, "odd": Odd()}, {"at": "2026-01-02T00:00:00Z", "7": "red", "odd": "an odd one"}),
    ({"nan": float("nan")}, {"nan": None}),
    ("{'already': 'text'}", "{'already': 'text'}"),
    ("", ""),
    (42, 42),
    (True, True),
    (None, None),
    (Odd(), "an odd one"),
    (LOOP, "[[...]]"),
    ({"raw": b"\xff"}, "{'raw': b'\\xff'}"),
]  # fmt: skip
"""What tools return, and the JSON of it, where that is not the same."""


async def test_everything_that_tools_return_is_shown_as_json(serve: Any):
    """microsoft/autogen#7867, dottxt-ai/outlines#677: Python's `repr`, which no JSON parser reads."""

    @function_tool
    def lookup(number: int) -> Any:
        """Look something up."""
        return OUTPUTS[number][0]

    calls = [Call("lookup", {"number": number}) for number in range(len(OUTPUTS))]
    model = ScriptedModel(*calls, Say("done"), Say("again"))
    served = await serve(Agent(name="A", model=model, tools=[lookup]), max_turns=len(OUTPUTS) + 2)
    _, told = await ask(served.person, message())
    shown = [data["output"] for _, data in told if data["type"] == "tool_call.completed"]
    expected = [returned if same is None and returned is not None else same for returned, same in OUTPUTS]
    assert shown == expected
    # Later turns hold the same, as text.
    thread_id = next(data["thread_id"] for _, data in told if "thread_id" in data)
    await ask(served.person, message("and?", id=thread_id))
    outputs = [item["output"] for item in model.calls[-1] if item.get("type") == "function_call_output"]
    assert len(outputs) == len(OUTPUTS)
    for text, (returned, _), json_value in zip(outputs, OUTPUTS, expected, strict=True):
        if isinstance(json_value, str):
            # Some APIs refuse an empty output.
            assert text == (json_value if json_value.strip() else EMPTY_OUTPUT), returned
        else:
            assert json.loads(text) == json_value, returned


async def test_an_error_that_a_tool_returns_as_a_dictionary_is_shown(serve: Any):
    @function_tool
    def fail() -> dict[str, Any]:
        """Fail."""
        return {"error": {"message": "There is no such city."}}

    model = ScriptedModel(Call("fail", {}), Say("done"))
    served = await serve(Agent(name="A", model=model, tools=[fail]))
    _, events = await served.create()
    workflow = [event["item"] for event in events if event.get("item", {}).get("type") == "workflow"][-1]
    assert workflow["workflow"]["tasks"][0]["content"] == "There is no such city."


async def test_outputs_for_the_model_alone_stay_as_they_are(serve: Any):
    @function_tool
    def text() -> ToolOutputText:
        """Return text."""
        return ToolOutputText(text="hello")

    model = ScriptedModel(Call("text", {}), Say("done"))
    served = await serve(Agent(name="A", model=model, tools=[text]))
    _, told = await ask(served.person, message())
    [output] = [data["output"] for _, data in told if data["type"] == "tool_call.completed"]
    assert output == [{"type": "input_text", "text": "hello"}]
