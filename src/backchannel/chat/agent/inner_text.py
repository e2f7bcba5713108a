"""The text of an inner agent as its caller's task shows it: in steps while it streams, and whole at the end.

`workflow.task.updated` carries the whole task. So that its cost does not grow with the square of the text, the task
shows the end of the text only, and the pauses between steps grow with what a step sends: at most about 1,000
characters a second, however fast the model is.
"""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from agents import Agent, AgentOutputSchema
from agents.agent_output import AgentOutputSchemaBase
from agents.exceptions import ModelBehaviorError
from openai.types.responses import ResponseOutputMessage, ResponseOutputRefusal, ResponseOutputText
from pydantic_core import from_json

from backchannel.chat.agent.rendering import OutputRenderer, readable, rendered

LIVE_CHARS = 1_000
"""While an inner agent writes, its caller's task shows this many characters from the end of its text."""
FINAL_CHARS = 4_000
"""When it is done, the task shows this many."""
MIN_PAUSE_SECONDS = 0.25
SECONDS_PER_CHAR = 0.001
MAX_PARTIAL_CHARS = 100_000
"""Longer structured output is rendered at its end only."""
_MAX_WORD_CHARS = 60


class Pace:
    """Limits how often something is sent that changes with each token.

    Args:
        send: Sends the current state, and returns its size in characters.
    """

    def __init__(self, send: Callable[[], int]) -> None:
        self._send = send
        self._earliest = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def changed(self) -> None:
        """Send the state now, or when the pause after the last step is over."""
        if self._timer is not None:
            return
        loop = asyncio.get_running_loop()
        if loop.time() < self._earliest:
            self._timer = loop.call_at(self._earliest, self._send_late)
        else:
            self._send_now(loop.time())

    def stop(self) -> None:
        """Send nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _send_late(self) -> None:
        self._timer = None
        self._send_now(asyncio.get_running_loop().time())

    def _send_now(self, now: float) -> None:
        self._earliest = now + MIN_PAUSE_SECONDS + self._send() * SECONDS_PER_CHAR


class InnerText:
    """The messages of an inner agent's run. Structured output is rendered as Markdown, also if it is incomplete.

    Args:
        renderer: The application's renderer. It gets complete output only, so with one, structured output is shown at
            its end: the default form might show what the application leaves out.
    """

    def __init__(self, renderer: OutputRenderer | None) -> None:
        self._renderer = renderer
        self._schema: AgentOutputSchemaBase | None = None
        self._done: list[str] = []
        self._open: dict[str, list[str]] = {}

    def use(self, agent: Agent[Any]) -> None:
        """Follow a change of the agent: messages that end after it are of this one."""
        self._schema = structured(agent)

    def add(self, item_id: str, delta: str) -> None:
        """Add a delta to a message, which begins with its first one."""
        self._open.setdefault(item_id, []).append(delta)

    def withdraw(self, item_id: str) -> None:
        """Remove an unfinished message."""
        self._open.pop(item_id, None)

    def finish(self, message: ResponseOutputMessage) -> None:
        """End a message with its complete text."""
        self._open.pop(message.id, None)
        text = "".join(_text(part) for part in message.content)
        if self._schema is not None:
            try:
                text = rendered(self._schema.validate_json(text), self._renderer)
            except ModelBehaviorError:
                text = readable(text)
        self._done.append(text)

    def clear(self) -> None:
        """Remove everything: a guardrail has refused it."""
        self._done.clear()
        self._open.clear()

    def end(self, limit: int) -> str:
        """The text so far; of a longer one, about `limit` characters from its end."""
        texts = list(self._done)
        for item_id, deltas in self._open.items():
            # Joined only where it is read: appending to a string copies it each time.
            self._open[item_id] = ["".join(deltas)]
            texts.append(self._partial(self._open[item_id][0]))
        return end_of("\n\n".join(text.strip() for text in texts if text.strip()), limit)

    def _partial(self, text: str) -> str:
        if self._schema is None:
            return text
        if self._renderer is not None or len(text) > MAX_PARTIAL_CHARS:
            return ""
        return rendered_part(text, self._schema)


def structured(agent: Agent[Any]) -> AgentOutputSchemaBase | None:
    """The form of an agent's output; `None` if that is text."""
    kind = agent.output_type
    schema = kind if isinstance(kind, AgentOutputSchemaBase) else AgentOutputSchema(kind or str)
    return None if schema.is_plain_text() else schema


def rendered_part(text: str, schema: AgentOutputSchemaBase) -> str:
    """Markdown for the beginning of structured output; empty if nothing can be read of it yet."""
    try:
        value: Any = from_json(text.strip(), allow_partial="trailing-strings")
    except ValueError:
        return ""
    if isinstance(value, dict) and getattr(schema, "_is_wrapped", False):
        # The Agents SDK has no public mark for what it wraps in an object with one field.
        value = next(iter(cast("dict[str, Any]", value).values()), None)
    return rendered(value) if value else ""


def end_of(text: str, limit: int) -> str:
    """A text, or about `limit` characters from the end of a longer one, from the beginning of a word on."""
    if len(text) <= limit:
        return text
    end = text[-limit:]
    words = end[:_MAX_WORD_CHARS].split(maxsplit=1)
    if len(words) > 1:
        end = end[end.index(words[1]) :]
    return f"… {end}"


def _text(part: ResponseOutputText | ResponseOutputRefusal) -> str:
    return part.refusal if isinstance(part, ResponseOutputRefusal) else part.text
