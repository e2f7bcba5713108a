"""Shows what inner agents say and do, below the tasks of their callers."""

from collections.abc import Iterator
from typing import Any

from chatkit.types import CustomTask, ThoughtTask, ThreadItemDoneEvent, ThreadStreamEvent
from openai.types.responses import ResponseOutputItemDoneEvent
from openai.types.responses.response_output_item import ImageGenerationCall

from backchannel.chat.agent.activity import (
    Activity,
    completed_tool_task,
    inner_hand_off_task,
    inner_tool_task,
)
from backchannel.chat.agent.context import AnswerContext
from backchannel.chat.agent.executed_tools import Outcome, call_task, finished_task
from backchannel.chat.agent.hosted_tools import HostedTools, Origin
from backchannel.chat.agent.images import GeneratedImages
from backchannel.chat.agent.inner_runs import HandedOff, HostedOutput, InnerEvent, Spoke, Thought
from backchannel.chat.agent.inner_text import FINAL_CHARS, end_of
from backchannel.chat.agent.tool_output import decode_arguments
from backchannel.chat.recovery import journal


class InnerActivity:
    """The tasks of inner agents in the workflow of one answer."""

    def __init__(self, context: AnswerContext, activity: Activity) -> None:
        self._context = context
        self._activity = activity
        self._hosted: dict[tuple[str, str], HostedTools] = {}
        self._images = GeneratedImages(context.thread.id)
        self._arguments: dict[str, str] = {}
        self._earlier: dict[str, str] = {}
        self._failed: set[str] = set()

    def translate(self, event: InnerEvent) -> Iterator[ThreadStreamEvent]:
        """The thread events for something that an inner agent does."""
        match event:
            case Spoke():
                yield from self._spoke(event)
            case Thought():
                task = ThoughtTask(title=event.agent, content=event.text)
                if self._activity.task(event.key) is None:
                    yield from self._activity.begin(event.key, task)
                else:
                    yield from self._activity.change(event.key, task, passing=True)
            case HandedOff():
                key = f"{event.call.task} {event.agent} {event.target}"
                yield from self._activity.begin(key, inner_hand_off_task(event.agent, event.target))
            case HostedOutput():
                yield from self._hosted_output(event)
            case _:
                pass

    def call(self, key: str, call: journal.InnerToolCall) -> Iterator[ThreadStreamEvent]:
        """Show a journaled call of an inner agent's tool.

        Args:
            key: The id of the journal's item.
        """
        event = {"call_id": call.call_id, "name": call.name, "agent": call.agent, "caller": call.caller}
        if not call.finished:
            arguments = decode_arguments(call.arguments)
            self._context.request_context.publish(
                {"type": "tool_call.started", **event, "arguments": arguments}
            )
            yield from self._activity.begin(
                key, call_task(call.item_type, call.name, call.arguments, call.agent)
            )
            return
        self._context.request_context.publish({"type": "tool_call.completed", **event, "output": call.output})
        if isinstance(task := self._activity.task(key), CustomTask):
            if call.item_type is None:
                finished = self.completed(key, task, call.output, failed=call.failed)
            else:
                outcome = Outcome(call.output or "", failed=call.failed, why=call.why)
                finished = finished_task(task, call.item_type, outcome)
            yield from self._activity.change(key, finished)

    def completed(self, key: str, task: CustomTask, output: object, *, failed: bool) -> CustomTask:
        """The task of a tool that has returned. What an inner agent said stays in it, whatever the tool returned.

        Args:
            failed: Whether the tool raised an exception. The run of an inner agent may have failed without one.
        """
        failed = failed or key in self._failed
        return completed_tool_task(task, None if key in self._arguments else output, failed=failed)

    def _spoke(self, event: Spoke) -> Iterator[ThreadStreamEvent]:
        key = event.call.task
        if event.failed:
            self._failed.add(key)
        task = self._activity.task(key)
        if not isinstance(task, CustomTask) or not (event.text or key in self._arguments):
            return
        arguments = self._arguments.setdefault(key, task.content or "")
        # The run of an agent that waited for approval goes on as another one.
        texts = [text for text in (self._earlier.get(key), event.text) if text]
        text = end_of("\n\n".join(texts), FINAL_CHARS)
        if event.last:
            self._earlier[key] = text
        content = "\n\n".join(part for part in (arguments, text) if part)
        if content != task.content:
            changed = task.model_copy(update={"content": content or None})
            yield from self._activity.change(key, changed, passing=True)

    def _hosted_output(self, event: HostedOutput) -> Iterator[ThreadStreamEvent]:
        item: Any = getattr(event.event, "item", None)
        if isinstance(item, ImageGenerationCall):
            yield from self._image(event, item)
            return
        key = (event.call.task, event.agent)
        if key not in self._hosted:
            origin = Origin(event.agent, event.call.caller)
            self._hosted[key] = HostedTools(self._context, self._activity, origin)
        yield from self._hosted[key].translate(event.event)

    def _image(self, event: HostedOutput, call: ImageGenerationCall) -> Iterator[ThreadStreamEvent]:
        key = f"{event.call.task} {call.id}"
        if self._activity.task(key) is None:
            yield from self._activity.begin(key, inner_tool_task(event.agent, "image_generation", "{}"))
        task = self._activity.task(key)
        if not isinstance(event.event, ResponseOutputItemDoneEvent) or not isinstance(task, CustomTask):
            return
        yield from self._activity.change(key, completed_tool_task(task, None, failed=not call.result))
        # The workflow stays open below the picture: the inner agent goes on in it.
        for shown in self._images.end(call):
            if isinstance(shown, ThreadItemDoneEvent):
                yield shown
