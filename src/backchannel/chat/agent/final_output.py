"""Final answers that are values: structured output, and the result of a tool.

They are shown as messages in Markdown, and the journal has what was said.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from agents import (
    Agent,
    AgentOutputSchema,
    InputGuardrailTripwireTriggered,
    OutputGuardrailTripwireTriggered,
    RunResultStreaming,
)
from agents.agent_output import AgentOutputSchemaBase
from agents.exceptions import ModelBehaviorError
from agents.items import ToolCallOutputItem
from chatkit.types import (
    AssistantMessageContent,
    AssistantMessageItem,
    HiddenContextItem,
    ProgressUpdateEvent,
    ThreadItem,
    ThreadItemAddedEvent,
    ThreadItemDoneEvent,
    ThreadItemRemovedEvent,
    ThreadItemUpdatedEvent,
    ThreadStreamEvent,
)
from openai.types.responses import Response

from backchannel.chat.agent.context import AnswerContext
from backchannel.chat.agent.rendering import parsed, readable, rendered
from backchannel.chat.agent.tool_output import output_text
from backchannel.chat.recovery import journal
from backchannel.chat.recovery.resend import sent
from backchannel.chat.recovery.resume_point import FOR_THE_MODEL
from backchannel.ids import new_id
from backchannel.stores.times import to_sdk, utc_now

WRITING = "Writing the answer"


class FinalOutput:
    """The final output of one answer.

    Messages of an agent with an `output_type` are held until they are complete, then rendered. A message that is not
    valid is shown as it was said: the run reports what is wrong with it.

    Args:
        shown_by_tools: Tools of the last response have shown something to the person.

    Attributes:
        tool_failed: Whether the result of a tool would be the answer, and the tool failed.
    """

    def __init__(self, context: AnswerContext, *, shown_by_tools: bool = False) -> None:
        self._context = context
        self._schema: AgentOutputSchemaBase | None = None
        self._held: set[str] = set()
        self._said: dict[str, str] = {}
        self._shown_by_tools = shown_by_tools
        self.tool_failed = False

    def use(self, agent: Agent[Any]) -> None:
        """Follow a change of the agent: messages that begin after it are of this one."""
        kind = agent.output_type
        schema = kind if isinstance(kind, AgentOutputSchemaBase) else AgentOutputSchema(kind or str)
        self._schema = None if schema.is_plain_text() else schema

    def translate(self, events: Iterable[ThreadStreamEvent]) -> Iterator[ThreadStreamEvent]:
        """The events to show for events of the model's messages."""
        for event in events:
            match event:
                case ThreadItemAddedEvent(item=AssistantMessageItem()) if self._schema is not None:
                    self._held.add(event.item.id)
                    yield ProgressUpdateEvent(text=WRITING)
                case ThreadItemUpdatedEvent() if event.item_id in self._held:
                    pass
                case ThreadItemRemovedEvent() if event.item_id in self._held:
                    self._held.discard(event.item_id)
                case ThreadItemDoneEvent(item=AssistantMessageItem() as item) if self._schema is not None:
                    self._held.discard(item.id)
                    shown = self._rendered(item, self._schema)
                    yield from sent(shown)
                    yield ThreadItemDoneEvent(item=shown)
                case _:
                    yield event

    def entry(self, item: ThreadItem) -> Iterator[ThreadStreamEvent]:
        """The journal entry of a message, if it shows something else than was said."""
        said = self._said.pop(item.id, None)
        if said is not None:
            yield self._journal(journal.ShownAnswer(item_id=item.id, said=said))

    def response_completed(self) -> None:
        """Forget what tools of earlier responses have shown."""
        self._shown_by_tools = False

    def tool_event(self, event: ThreadStreamEvent) -> None:
        """Note an event that a tool has streamed."""
        if isinstance(event, ThreadItemAddedEvent | ThreadItemDoneEvent):
            self._shown_by_tools |= event.item.type not in FOR_THE_MODEL

    def last_message(
        self, result: RunResultStreaming, journaled: Mapping[str, HiddenContextItem]
    ) -> Iterator[ThreadStreamEvent]:
        """The message that shows the result of a tool, or of an error handler, if that is the answer. A result without
        text is not shown.

        Args:
            journaled: The journal's items of the tool calls with outputs, by the ids of the calls.
        """
        if self._context.error_handled:
            yield from self._of_handler(result)
            return
        final = _of_tools(result)
        if final is not None:
            yield from self.of_tool(*final, journaled)

    def of_tool(
        self, output: Any, call_id: str | None, journaled: Mapping[str, HiddenContextItem]
    ) -> Iterator[ThreadStreamEvent]:
        """The message that shows the result of a tool which is the answer, and its journal entry.

        Args:
            call_id: The id of the tool's call; `None` if a function made the result of several.
            journaled: As for `last_message`.
        """
        # What a tool returns beside a widget, a question or a call of a client tool is for the model.
        if self._context.client_calls or self._shown_by_tools:
            return
        self.tool_failed = call_id in self._context.failed_calls
        value = parsed(output) if isinstance(output, str) else output
        if self.tool_failed or value is None:
            return
        shown = value if isinstance(value, str) else rendered(value, self._context.render_output)
        if not shown.strip():
            return
        item = self._message(shown)
        call = journaled.get(call_id or "")
        said = output_text(output)
        if call is not None:
            yield self._journal(journal.ShownAnswer(item_id=item.id, call=call.id))
        elif shown != said:
            yield self._journal(journal.ShownAnswer(item_id=item.id, said=said))
        yield from sent(item)
        yield ThreadItemDoneEvent(item=item)

    def _of_handler(self, result: RunResultStreaming) -> Iterator[ThreadStreamEvent]:
        """The message that shows what an error handler of the application made the final output."""
        value = result.final_output
        shown = value if isinstance(value, str) else rendered(value, self._context.render_output)
        if not shown.strip():
            return
        item = self._message(shown)
        if shown != (said := output_text(value)):
            yield self._journal(journal.ShownAnswer(item_id=item.id, said=said))
        yield from sent(item)
        yield ThreadItemDoneEvent(item=item)

    def _rendered(self, item: AssistantMessageItem, schema: AgentOutputSchemaBase) -> AssistantMessageItem:
        said = "".join(part.text for part in item.content)
        try:
            shown = rendered(schema.validate_json(said), self._context.render_output)
        except ModelBehaviorError:
            shown = readable(said)
        if shown == said:
            return item
        self._said[item.id] = said
        # Places in the JSON are no places in the Markdown.
        annotations = [
            each.model_copy(update={"index": None}) for part in item.content for each in part.annotations
        ]
        content = AssistantMessageContent(text=shown, annotations=annotations)
        return item.model_copy(update={"content": [content]})

    def _message(self, text: str) -> AssistantMessageItem:
        return AssistantMessageItem(
            id=new_id("message"),
            thread_id=self._context.thread.id,
            created_at=to_sdk(utc_now()),
            content=[AssistantMessageContent(text=text)],
        )

    def _journal(self, entry: journal.ShownAnswer) -> ThreadItemDoneEvent:
        return ThreadItemDoneEvent(item=journal.to_item(entry, self._context.thread.id))


def blocked_outputs(
    error: InputGuardrailTripwireTriggered | OutputGuardrailTripwireTriggered,
    last_response: Response | None,
    journaled: Mapping[str, HiddenContextItem],
) -> Iterator[ThreadStreamEvent]:
    """Replace the outputs of tools that an output guardrail rejected as the answer, so that no later input has them.

    Args:
        last_response: The last response of the model.
        journaled: The journal's items of the tool calls with outputs, by the ids of the calls.
    """
    if isinstance(error, InputGuardrailTripwireTriggered):
        return
    # A run ends after calls of functions only if the output of one is the answer.
    calls = [each for each in last_response.output if each.type == "function_call"] if last_response else []
    for call in calls:
        if (item := journaled.get(call.call_id)) is not None:
            # The Agents SDK has replaced the output by its placeholder, or by the application's.
            text = output_text(error.guardrail_result.agent_output)
            yield ThreadItemDoneEvent(item=journal.with_output(item, text))


def _of_tools(result: RunResultStreaming) -> tuple[Any, str | None] | None:
    """What a tool returned if it ended the run, and the id of its call; `None` if a message did.

    The id is `None` if a `ToolsToFinalOutputFunction` made a result of its own.
    """
    outputs: list[ToolCallOutputItem] = []
    for item in reversed(result.new_items):
        if not isinstance(item, ToolCallOutputItem):
            break
        outputs.insert(0, item)
    if not outputs or result.final_output is None:
        return None
    for item in outputs:
        # Without an `output_type` the Agents SDK has made text of it.
        if item.output is result.final_output or str(item.output) == str(result.final_output):
            return item.output, cast("dict[str, Any]", item.raw_item).get("call_id")
    return result.final_output, None
