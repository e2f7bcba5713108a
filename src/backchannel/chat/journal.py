"""The tool calls of an answer, kept in the thread where only the model sees them.

Each call is one hidden item: written when the tool starts, completed under the same id when it ends. So the
model knows in later turns what was called and what came back, and after a crash what may have happened.
"""

from typing import Any, Literal, cast

from chatkit.types import HiddenContextItem, ThreadItem
from pydantic import BaseModel, ValidationError

KIND = "backchannel.tool_call"


class ToolCall(BaseModel):
    """A call of a tool by a model, and what came of it.

    Attributes:
        output: What the tool gave back; `None` while it runs, and for ever if its process died.
    """

    kind: Literal["backchannel.tool_call"] = KIND
    call_id: str
    name: str
    arguments: str
    output: Any = None
    finished: bool = False


def read(item: ThreadItem) -> ToolCall | None:
    """The tool call that an item keeps, or `None` if it keeps something else."""
    if not isinstance(item, HiddenContextItem):
        return None
    content: object = item.content
    if not isinstance(content, dict) or cast("dict[str, object]", content).get("kind") != KIND:
        return None
    try:
        return ToolCall.model_validate(content)
    except ValidationError:
        return None
