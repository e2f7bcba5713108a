"""What a tool returned, as people and programs can read it: the SDK gives it to the model as Python's `str`."""

import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Any, cast

from pydantic import BaseModel
from pydantic_core import to_json

_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w=.+-]+)*;base64,([A-Za-z0-9+/=\s]{64,})")
_JSON = (Mapping, list, tuple, set, frozenset, BaseModel, bool, int, float, type(None))


def output_text(result: object) -> str:
    """The result of a tool as text: a string unchanged; collections, models, dataclasses, numbers, booleans and `None`
    as JSON, in which objects that JSON does not have are their `str`; anything else as its `str`."""
    if isinstance(result, str):
        return result
    is_dataclass = dataclasses.is_dataclass(result) and not isinstance(result, type)
    if is_dataclass or isinstance(result, _JSON):
        try:
            return to_json(result, fallback=str, inf_nan_mode="null").decode()
        except ValueError:
            # It contains itself, or bytes that are no text.
            pass
    return str(cast("object", result))


def output_value(result: object) -> Any:
    """The result of a tool as a JSON value: as `output_text`, but what is JSON there is parsed."""
    text = output_text(result)
    if isinstance(result, str):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def decode_arguments(arguments: str) -> object:
    """The arguments of a call as a JSON value; as text if they are none."""
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return arguments


def are_arguments(arguments: str | None) -> bool:
    """Whether a text can be the arguments of a function: a JSON object, or nothing."""
    try:
        return isinstance(json.loads(arguments or "{}"), dict)
    except ValueError:
        return False


def invalid_arguments(tool: str) -> str:
    """What a model is told of a call whose arguments are none."""
    return (
        f"The arguments of this call of {tool} are not valid: they must be one JSON object that fits the tool's "
        "parameters. Call it again with correct arguments."
    )


def history_output(output: object) -> str:
    """A tool's output as text for later model calls. Pictures and files are replaced by a note: as Base64 they would
    fill the context, and many endpoints accept them in messages of the user only."""
    if isinstance(output, list):
        parts = [_part_text(part) for part in cast("list[object]", output)]
        text = "\n".join(part for part in parts if part)
    elif isinstance(output, str):
        text = output
    else:
        text = json.dumps(output, ensure_ascii=False, default=str)
    return without_data(text)


def without_data(text: str) -> str:
    """A text with a note in place of each file that it holds as a data URL."""
    return _DATA_URL.sub(_left_out, text)


def _part_text(part: object) -> str:
    if not isinstance(part, dict):
        return str(part)
    fields = cast("dict[str, Any]", part)
    if isinstance(fields.get("text"), str):
        return fields["text"]
    return json.dumps(fields, ensure_ascii=False, default=str)


def _left_out(data: re.Match[str]) -> str:
    return f"[{data[1] or 'file'}, {len(data[2]) * 3 // 4:,} bytes, left out]"
