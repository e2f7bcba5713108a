"""Results of tools in the form that models can read."""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any

from mcp.types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)

NOTHING = "(The tool returned nothing.)"
FAILED = "The tool failed, and gave no reason."


def readable(result: CallToolResult) -> CallToolResult:
    """A result with texts and pictures only.

    The Agents SDK gives a model everything else as JSON, data in base64 included, which costs as much as a long
    conversation, and leaves structured content out. A server should repeat that as text; not all do.
    """
    content: list[ContentBlock] = [_readable(block) for block in result.content]
    texts = [block.text for block in result.content if isinstance(block, TextContent)]
    if (structured := result.structured_content) is not None and not _is_repeated(structured, texts):
        content.append(_text(json.dumps(structured, ensure_ascii=False)))
    if not content:
        content = [_text(FAILED if result.is_error else NOTHING)]
    return result.model_copy(update={"content": content})


def _is_repeated(structured: Mapping[str, Any], texts: Sequence[str]) -> bool:
    """Whether texts say what structured content says: all of it, or without the field that libraries put around
    results that are no objects, or one text for each of several."""
    said = [_parsed(text) for text in texts]
    values: list[Any] = [structured, *(structured.values() if list(structured) == ["result"] else ())]
    return any(value in (*said, *texts, said, list(texts)) for value in values)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _readable(block: ContentBlock) -> ContentBlock:
    match block:
        case EmbeddedResource(resource=TextResourceContents() as resource):
            return _text(f"{resource.uri}:\n{resource.text}")
        case EmbeddedResource(resource=BlobResourceContents() as resource):
            kind = resource.mime_type or "application/octet-stream"
            if kind.startswith("image/"):
                return ImageContent(type="image", data=resource.blob, mime_type=kind)
            return _text(
                f"{resource.uri}: a file ({kind}, {_size(resource.blob)}) that cannot be shown here."
            )
        case ResourceLink():
            words = [block.title or block.name, block.description, block.mime_type]
            return _text(f"{block.uri}: {', '.join(word for word in words if word)}")
        case AudioContent():
            return _text(f"A recording ({block.mime_type}, {_size(block.data)}) that cannot be played here.")
        case _:
            return block


def _text(text: str) -> TextContent:
    return TextContent(type="text", text=text)


def _size(data: Any) -> str:
    try:
        return f"{len(base64.b64decode(data)):,} bytes"
    except (binascii.Error, ValueError):
        return "of unknown size"
