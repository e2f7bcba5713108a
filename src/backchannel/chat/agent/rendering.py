"""Final answers that are values and not text, as Markdown: structured output, and results of tools."""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import structlog
from pydantic_core import to_jsonable_python

from backchannel.chat.agent.tool_output import output_text

log = structlog.get_logger(__name__)

type OutputRenderer = Callable[[Any], str | None]
"""Returns a final answer that is no text as Markdown, or `None` for the default form. Gets the object that the agent's
`output_type` made of the model's JSON, or what a tool returned; JSON that a tool returned as text is parsed."""

NOTHING = "–"
"""Stands for a value that is `None` or empty."""
_INDENT = "  "
_FILES = {"image": "image", "input_image": "image", "file": "file", "input_file": "file"}


def render_output(value: Any) -> str:
    """Markdown for a value: text as it is, an object with nothing but one text as this text, other objects as lines of
    `**Field:** value`, lists as lists, both also within each other. Fields that are `None` or empty are left out.

    Raises:
        ValueError: The value contains itself.
    """
    return _markdown(to_jsonable_python(value, fallback=str, inf_nan_mode="strings")) or NOTHING


def rendered(value: Any, renderer: OutputRenderer | None = None) -> str:
    """Markdown for a final answer. If the application's renderer or the default one raises, it is the value's JSON in a
    code block."""
    try:
        text = renderer(value) if renderer is not None else None
        return render_output(value) if text is None else str(text)
    except Exception:
        log.exception("output_not_rendered", type=type(value).__name__)
    return code_block(_indented(output_text(value)))


def readable(text: str) -> str:
    """Text of a model or a tool that could not be read as a value: JSON, also if it is incomplete, in a code block."""
    return code_block(text) if text.lstrip().startswith(("{", "[")) else text


def parsed(text: str) -> Any:
    """The JSON object or list that a text consists of; else the text."""
    if not text.lstrip().startswith(("{", "[")):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def code_block(text: str) -> str:
    """A block of JSON code in Markdown, whatever the text contains."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}json\n{text.strip()}\n{fence}"


def _indented(text: str) -> str:
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        return text


def _markdown(value: Any) -> str:
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return _part(fields) if _is_part(fields) else _object(fields)
    if isinstance(value, list):
        values = cast("list[Any]", value)
        if values and all(_is_part(each) for each in values):
            return "\n\n".join(_part(each) for each in values)
        return "\n".join(_items(values))
    return _scalar(value)


def _object(value: dict[str, Any]) -> str:
    fields = _present(value)
    if len(value) == 1 and isinstance(fields[0][1], str):
        return fields[0][1]
    return "\n".join(line for name, each in fields for line in _field(name, each)).strip("\n")


def _present(fields: dict[str, Any]) -> list[tuple[str, Any]]:
    present = [(name, value) for name, value in fields.items() if value not in (None, "", [], {})]
    return present or [(name, NOTHING) for name in fields]


def _field(name: str, value: Any) -> Iterator[str]:
    label = f"- **{_label(name)}:**"
    if isinstance(value, dict | list):
        yield label
        yield from _indent(_lines(value))
        return
    text = _scalar(value)
    if "\n" in text:
        # A blank line keeps the text's own lists and headings apart from the label.
        yield from (label, "", *_indent(text.splitlines()), "")
        return
    yield f"{label} {text}"


def _items(values: list[Any]) -> Iterator[str]:
    for value in values:
        lines = list(_lines(value)) if isinstance(value, dict | list) else _scalar(value).splitlines()
        if not lines:
            continue
        # The first field of an object names it; its others stand below it.
        first = lines[0].removeprefix("- ") if isinstance(value, dict) else lines[0]
        yield f"- {first}"
        yield from _indent(lines[1:])


def _lines(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, each in _present(cast("dict[str, Any]", value)):
            yield from _field(name, each)
    else:
        yield from _items(value)


def _indent(lines: Iterable[str]) -> Iterator[str]:
    return (f"{_INDENT}{line}" if line else "" for line in lines)


def _label(name: str) -> str:
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def _scalar(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case _:
            return str(value)


def _is_part(value: Any) -> bool:
    """Whether a value is a text, image or file as tools return them."""
    if not isinstance(value, dict):
        return False
    match cast("dict[str, Any]", value):
        case {"type": "text" | "input_text", "text": str()}:
            return True
        case {"type": str(kind)} if kind in _FILES:
            return True
        case _:
            return False


def _part(part: dict[str, Any]) -> str:
    if isinstance(part.get("text"), str):
        return part["text"]
    kind = _FILES[part["type"]]
    url = part.get("image_url") or part.get("file_url")
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        return f"({kind.capitalize()})"
    return f"![{kind}]({url})" if kind == "image" else f"[{part.get('filename') or kind}]({url})"
