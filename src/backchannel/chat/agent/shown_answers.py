"""What the model gets in later inputs of an answer that was shown in another form (`final_output`): what was said."""

from collections.abc import Sequence

from chatkit.types import AssistantMessageContent, AssistantMessageItem, HiddenContextItem, ThreadItem

from backchannel.chat.agent.tool_output import history_output
from backchannel.chat.recovery import journal

SHOWN = "(The result was shown to the user. It is the answer that follows.)"
"""In later inputs, the output of a tool whose result is the answer."""


def as_said(items: Sequence[ThreadItem]) -> Sequence[ThreadItem]:
    """Thread items with what was said in place of what was shown. The result of a tool that is the answer is there
    once, as the answer."""
    messages = {item.id for item in items if isinstance(item, AssistantMessageItem)}
    calls = {item.id: call for item in items if (call := journal.tool_call(item)) is not None}
    said: dict[str, str] = {}
    shown_calls: set[str] = set()
    for item in items:
        entry = journal.read(item)
        if not isinstance(entry, journal.ShownAnswer) or entry.item_id not in messages:
            continue
        if entry.call is None:
            said[entry.item_id] = entry.said or ""
        elif entry.call in calls:
            said[entry.item_id] = history_output(calls[entry.call].output)
            shown_calls.add(entry.call)
    return [_as_said(item, said, shown_calls) for item in items] if said else items


def _as_said(item: ThreadItem, said: dict[str, str], shown_calls: set[str]) -> ThreadItem:
    if isinstance(item, AssistantMessageItem) and item.id in said:
        return item.model_copy(update={"content": [AssistantMessageContent(text=said[item.id])]})
    if isinstance(item, HiddenContextItem) and item.id in shown_calls:
        return journal.with_output(item, SHOWN)
    return item
