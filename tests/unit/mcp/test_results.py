"""Results of MCP tools, as models get them."""

from typing import Any

import pytest
from mcp.types import CallToolResult, ImageContent, TextContent

from backchannel.mcp.results import readable

pytestmark = pytest.mark.row("M20")

PAGES = {"pages": [{"url": "https://example.com", "text": "Example Domain"}]}


def texts(*content: str, structured: dict[str, Any] | None) -> list[str]:
    blocks: list[Any] = [TextContent(type="text", text=text) for text in content]
    result = readable(CallToolResult(content=blocks, structured_content=structured))
    return [block.text for block in result.content if isinstance(block, TextContent)]


@pytest.mark.parametrize(
    ("content", "structured", "told"),
    [
        # usememos/memos#6226: the text was a summary, and the result was lost.
        (["Scraped 1 URL."], PAGES, ["Scraped 1 URL.", '{"pages": [{"url": "https://example.com", "text": "Example Domain"}]}']),
        ([], {"degrees": 21}, ['{"degrees": 21}']),
        (['{ "degrees":21 }'], {"degrees": 21}, ['{ "degrees":21 }']),
        (["21"], {"result": 21}, ["21"]),
        (["sunny"], {"result": "sunny"}, ["sunny"]),
        (["a", "b"], {"result": ["a", "b"]}, ["a", "b"]),
        (['{"n": 1}', '{"n": 2}'], {"result": [{"n": 1}, {"n": 2}]}, ['{"n": 1}', '{"n": 2}']),
        (["sunny"], {"result": "sunny", "degrees": 21}, ["sunny", '{"result": "sunny", "degrees": 21}']),
        (["sunny"], None, ["sunny"]),
    ],
    ids=[
        "a summary", "alone", "the same as JSON", "a number", "a text", "a list of texts", "a list of objects",
        "more than the text", "none",
    ],
)  # fmt: skip
def test_structured_content_that_no_text_repeats_is_added(
    content: list[str], structured: dict[str, Any] | None, told: list[str]
):
    assert texts(*content, structured=structured) == told


def test_pictures_stay_beside_structured_content():
    """anomalyco/opencode#32868."""
    picture = ImageContent(type="image", data="AAAA", mime_type="image/png")
    result = readable(CallToolResult(content=[picture], structured_content={"width": 1}))
    assert result.content[0] == picture
    assert [block.text for block in result.content[1:] if isinstance(block, TextContent)] == ['{"width": 1}']
