"""Thread items as model input, one by one. What they are together is `history`'s matter."""

import json
from collections.abc import Sequence
from typing import Any, cast, override

from agents import TResponseInputItem
from chatkit.agents import ThreadItemConverter
from chatkit.types import (
    AssistantMessageItem,
    Attachment,
    GeneratedImageItem,
    HiddenContextItem,
    UserMessageItem,
    UserMessageTagContent,
    WorkflowItem,
)
from openai.types.responses import ResponseInputTextParam
from openai.types.responses.response_input_message_content_list_param import ResponseInputContentParam

from backchannel.chat.agent.file_contents import CONTENT
from backchannel.chat.agent.history import call_and_output
from backchannel.chat.agent.tool_output import without_data
from backchannel.chat.recovery import journal
from backchannel.files.model_parts import name_tag


class HistoryConverter(ThreadItemConverter):
    """Converts thread items to model input. `Application.converter` can replace it."""

    @override
    async def hidden_context_to_input(
        self, item: HiddenContextItem
    ) -> TResponseInputItem | list[TResponseInputItem] | None:
        call = journal.tool_call(item)
        if call is not None:
            calls = call_and_output(call, item.id, in_newest_turn=False)
            return cast("list[TResponseInputItem]", calls)
        if not isinstance(item.content, str):
            item = item.model_copy(update={"content": json.dumps(item.content, default=str)})
        return await super().hidden_context_to_input(item)

    @override
    async def workflow_to_input(
        self, item: WorkflowItem
    ) -> TResponseInputItem | list[TResponseInputItem] | None:
        # The journal's tool calls give the model the same information in full.
        return None

    @override
    async def assistant_message_to_input(self, item: AssistantMessageItem) -> TResponseInputItem:
        # Plain text: the Agents SDK's Chat Completions models reject output content parts.
        return {"role": "assistant", "content": "\n\n".join(part.text for part in item.content)}

    @override
    async def generated_image_to_input(
        self, item: GeneratedImageItem
    ) -> TResponseInputItem | list[TResponseInputItem] | None:
        # Not the picture itself: models that make pictures need not be able to see them.
        if item.image is None:
            return None
        shown = without_data(item.image.url)
        return {"role": "user", "content": f"[The assistant made a picture, and the person sees it: {shown}]"}

    @override
    async def tag_to_message_content(self, tag: UserMessageTagContent) -> ResponseInputContentParam:
        data = json.dumps({"id": tag.id, "text": tag.text, **tag.data}, ensure_ascii=False, default=str)
        return ResponseInputTextParam(type="input_text", text=f"@{tag.text}: {data}")

    @override
    async def user_message_to_input(
        self, item: UserMessageItem, is_last_message: bool = True
    ) -> TResponseInputItem | list[TResponseInputItem] | None:
        # A picture or a document has no name of its own: it is said before it.
        converted = await super().user_message_to_input(item, is_last_message)
        for message in converted if isinstance(converted, list) else [converted]:
            fields = cast("dict[str, Any] | None", message)
            if fields is not None and isinstance(fields.get("content"), list):
                fields["content"] = _with_names(fields["content"], item.attachments)
        return converted

    @override
    async def attachment_to_message_content(self, attachment: Attachment) -> ResponseInputContentParam:
        metadata = attachment.metadata or {}
        if isinstance(content := metadata.get(CONTENT), dict):
            return cast("ResponseInputContentParam", content)
        tag = name_tag(attachment.name, attachment.mime_type)
        text = (
            f"{tag}>It was sent earlier, and is not shown again.</Attachment>"
            if CONTENT in metadata
            else f"{tag} />"
        )
        return ResponseInputTextParam(type="input_text", text=text)


def _with_names(parts: list[dict[str, Any]], attachments: Sequence[Attachment]) -> list[dict[str, Any]]:
    """The parts of a message, each picture and document with its name before it."""
    named: list[dict[str, Any]] = []
    for part in parts:
        if part.get("type") in {"input_image", "input_file"}:
            whose = next((each for each in attachments if (each.metadata or {}).get(CONTENT) is part), None)
            if whose is not None:
                text = f"{name_tag(whose.name, whose.mime_type)} />"
                named.append({"type": "input_text", "text": text})
        named.append(part)
    return named
