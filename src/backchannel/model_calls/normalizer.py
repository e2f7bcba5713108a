"""Turns the events of one model call into a well-formed stream of the Responses API.

Servers leave out events, change ids between them, and send nothing but the completed response. The normalized stream
has, for each message with text: added, parts, deltas, done; for each thought: deltas with an id of its own. Its last
event, if the call succeeds, is `response.completed` with the same output items.
"""

from collections.abc import Callable, Collection, Iterable
from typing import Any, cast

from agents.items import TResponseStreamEvent
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseFunctionToolCall,
    ResponseOutputItemDoneEvent,
)

from backchannel.model_calls.messages import MessageStream, to_item
from backchannel.model_calls.output_items import (
    clean_call,
    clean_call_ids,
    clean_message,
    is_processed,
    message_parts,
)
from backchannel.model_calls.partial_calls import PartialCalls
from backchannel.model_calls.provider_errors import ProviderFacts
from backchannel.model_calls.thoughts import Thoughts

type Events = Iterable[TResponseStreamEvent]


class ProviderFailureError(Exception):
    """The endpoint reported a failure in the stream.

    Attributes:
        facts: What it said.
        response: The response with its usage, if it was sent.
    """

    def __init__(self, facts: ProviderFacts, response: Response | None = None) -> None:
        super().__init__(facts.message)
        self.facts = facts
        self.response = response


class ResponseNormalizer:
    """Normalizes the events of one call.

    Args:
        tool_names: The names of the tools and hand-offs that the model may call.
        taken: The call ids in the call's input. The ids of new calls are added.

    Attributes:
        completed: Whether the completed response came.
    """

    def __init__(self, tool_names: Collection[str], taken: set[str]) -> None:
        self._tool_names = tool_names
        self._taken = taken
        self._thoughts = Thoughts()
        self._messages = MessageStream(self._thoughts)
        self._calls = PartialCalls()
        self._other: list[Any] = []
        self.completed = False
        self._last_number = 0
        self._numbers_rise = False
        self._handlers: dict[str, Callable[[Any], Events]] = {
            "response.output_item.added": self._item_added,
            "response.output_item.done": self._item_done,
            "response.output_text.delta": self._messages.text_delta,
            "response.refusal.delta": self._messages.refusal_delta,
            "response.output_text.done": self._messages.text_done,
            "response.refusal.done": self._messages.refusal_done,
            "response.content_part.added": self._messages.part_added,
            "response.content_part.done": self._messages.part_done,
            "response.output_text.annotation.added": self._messages.annotation_added,
            "response.reasoning_summary_part.added": self._thoughts.part_added,
            "response.reasoning_summary_text.delta": self._thought_delta,
            "response.reasoning_text.delta": self._thought_delta,
            "response.reasoning_summary_text.done": self._thoughts.text_done,
            "response.reasoning_text.done": self._thoughts.text_done,
            "response.function_call_arguments.delta": self._arguments,
            "response.function_call_arguments.done": self._arguments,
            "response.completed": self._completed,
            "response.incomplete": self._completed,
            "response.failed": _failed,
            "response.cancelled": _failed,
            "response.error": _failed,
            "error": _failed,
        }

    @property
    def shown(self) -> bool:
        """Whether any event with content was yielded."""
        return self._messages.shown or self._thoughts.shown or bool(self._other) or bool(self._calls)

    def written(self) -> str:
        """Everything that the model has written so far: text, thoughts, arguments of calls."""
        calls = [f"{call.name}{call.arguments}" for call in self._calls.all()]
        return "\n".join([*self._messages.texts(), *self._thoughts.texts(), *calls])

    def feed(self, event: Any) -> Events:
        """The normalized events for one event.

        Raises:
            ProviderFailureError: The event reports a failure. `close` yields what is left to show.
        """
        number = getattr(event, "sequence_number", 0) or 0
        if number == self._last_number and self._numbers_rise:
            # Some proxies send events twice.
            return ()
        self._numbers_rise = 0 < self._last_number < number
        self._last_number = number
        handler = self._handlers.get(getattr(event, "type", ""))
        return handler(event) if handler is not None else (event,)

    def close(self) -> Events:
        """The ends of what is open, if the call failed. Yields nothing after the completed response."""
        yield from self._thoughts.end()
        yield from self._messages.finish_all()

    def _item_added(self, event: Any) -> Events:
        item = event.item
        match getattr(item, "type", None):
            case "message":
                self._messages.begin(getattr(item, "id", None), event.output_index)
            case "function_call":
                yield from self._thoughts.end()
                self._calls.begin(item, event.output_index)
            case "reasoning":
                yield from self._thoughts.begin()
            case _ if is_processed(item):
                yield from self._thoughts.end()
                yield event
            case _:
                pass

    def _item_done(self, event: Any) -> Events:
        item = event.item
        match getattr(item, "type", None):
            case "message":
                yield from self._messages.finish(item, event.output_index)
            case "function_call":
                self._calls.done(item, event.output_index)
            case "reasoning":
                yield from self._thoughts.item_done(item)
                self._other.append(item)
            case _ if is_processed(item):
                self._other.append(item)
                yield event
            case _:
                pass

    def _thought_delta(self, event: Any) -> Events:
        if not self._thoughts.open and (event.delta or "").strip():
            yield from self._messages.split()
        yield from self._thoughts.delta(event)

    def _arguments(self, event: Any) -> Events:
        self._calls.arguments(event)
        yield from ()

    def _completed(self, event: Any) -> Events:
        if self.completed:
            return
        response = cast("Response", event.response)
        output: list[Any] = []
        for item in getattr(response, "output", None) or ():
            match getattr(item, "type", None):
                case "message":
                    message = self._messages.match(item)
                    yield from self._messages.finish(item, None, message)
                    if parts := message_parts(item):
                        output.append(clean_message(item, parts))
                    elif message.opened:
                        output.append(to_item(message))
                case "function_call":
                    output.append(clean_call(item, self._tool_names, self._taken))
                case "reasoning":
                    yield from self._thoughts.item_done(item)
                    output.append(item)
                case _ if is_processed(item):
                    if not any(getattr(each, "id", None) == item.id for each in self._other):
                        yield _item_done_event(event, item, len(output))
                    output.append(item)
                case _:
                    pass
        if not output:
            # Some servers send the items during the stream only.
            output += self._other
        yield from self._thoughts.end()
        yield from self._messages.finish_all()
        # Text that is missing in the completed response was said: it belongs into the next input.
        output += [to_item(message) for message in self._messages.unmatched()]
        if not any(isinstance(item, ResponseFunctionToolCall) for item in output):
            output += [clean_call(call, self._tool_names, self._taken) for call in self._calls.all()]
        clean_call_ids(output, self._taken)
        response.output = output
        self.completed = True
        if isinstance(event, ResponseCompletedEvent):
            yield event
        else:
            # The SDK takes an incomplete response for an exception and loses its usage. `stream_answer` reports why it
            # is incomplete.
            response.status = "incomplete"
            yield ResponseCompletedEvent.model_construct(
                type="response.completed", response=response, sequence_number=event.sequence_number
            )


def _item_done_event(event: Any, item: Any, index: int) -> TResponseStreamEvent:
    return ResponseOutputItemDoneEvent.model_construct(
        type="response.output_item.done", item=item, output_index=index, sequence_number=event.sequence_number
    )


def _failed(event: Any) -> Events:
    response = getattr(event, "response", None)
    error = getattr(response, "error", None) or event
    code, message = _value(error, "code"), _value(error, "message")
    status = getattr(response, "status", None)
    if status == "cancelled" or event.type == "response.cancelled":
        code, message = code or "server_error", message or "The response was cancelled."
    facts = ProviderFacts(status=None, code=code or "server_error", message=message or "The response failed.")
    raise ProviderFailureError(facts, response if isinstance(response, Response) else None)
    yield  # a generator like the other handlers


def _value(error: object, name: str) -> str | None:
    value = getattr(error, name, None)
    return str(value) if value else None
