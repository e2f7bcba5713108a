"""Final answers that are values, as Markdown."""

from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Any

import pytest
from agents import ToolOutputImage, ToolOutputText
from pydantic import BaseModel

from backchannel.chat.agent.rendering import code_block, parsed, readable, render_output, rendered

pytestmark = pytest.mark.row("M21")


class Sky(Enum):
    CLEAR = "clear"


class Weather(BaseModel):
    city: str
    sky: Sky
    high_celsius: int
    rain: bool | None = None
    warnings: list[str] = []


@dataclass
class Trip:
    day: date
    to: list[Weather]


ROME = Weather(city="Rome", sky=Sky.CLEAR, high_celsius=30)


@pytest.mark.parametrize(
    ("value", "markdown"),
    [
        ("**text**", "**text**"),
        ({"answer": "Hello\n\n- there"}, "Hello\n\n- there"),
        (ROME, "- **City:** Rome\n- **Sky:** clear\n- **High celsius:** 30"),
        (
            Trip(date(2026, 11, 28), [ROME]),
            "- **Day:** 2026-11-28\n- **To:**\n  - **City:** Rome\n    - **Sky:** clear\n    - **High celsius:** 30",
        ),
        ([1, "two", [3, 4], {"five": 6}], "- 1\n- two\n- - 3\n  - 4\n- **Five:** 6"),
        ({"text": "one\ntwo", "n": 1}, "- **Text:**\n\n  one\n  two\n\n- **N:** 1"),
        ({"found": [], "more": None}, "- **Found:** –\n- **More:** –"),
        ({"n": 0, "none": None}, "- **N:** 0"),
        ({"rain": False, "sun": True}, "- **Rain:** no\n- **Sun:** yes"),
        (7, "7"),
        ([], "–"),
        (None, "–"),
        (ToolOutputText(text="plain"), "plain"),
        ([ToolOutputText(text="see"), ToolOutputImage(image_url="https://a.b/c.png")],
         "see\n\n![image](https://a.b/c.png)"),
        (ToolOutputImage(image_url="data:image/png;base64,AAAA"), "(Image)"),
    ],
)  # fmt: skip
def test_a_value_as_markdown(value: Any, markdown: str) -> None:
    assert render_output(value) == markdown
    assert rendered(value) == markdown


def test_an_application_renders_what_it_knows() -> None:
    def render(value: Any) -> str | None:
        return f"{value.city}!" if isinstance(value, Weather) else None

    assert rendered(ROME, render) == "Rome!"
    assert rendered([1], render) == "- 1"


def test_a_renderer_that_raises_leaves_the_json_in_a_code_block() -> None:
    assert rendered({"a": "```"}, lambda value: value.no_such) == '````json\n{\n  "a": "```"\n}\n````'
    cycle: list[Any] = []
    cycle.append(cycle)
    assert rendered(cycle).startswith("```json\n")


def test_text_that_is_no_value_is_shown_as_it_is() -> None:
    assert readable("Sorry, no.") == "Sorry, no."
    assert readable('{"city": "Ro') == code_block('{"city": "Ro')


def test_json_that_a_tool_returned_as_text_is_a_value() -> None:
    assert parsed(' {"a": 1}') == {"a": 1}
    assert parsed("[1, 2]") == [1, 2]
    assert parsed("{not json}") == "{not json}"
    assert parsed("7") == "7"
