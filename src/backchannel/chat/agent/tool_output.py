"""What a tool returned, as people and programs can read it: the SDK gives it to the model as Python's `str`."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, cast

from pydantic import BaseModel
from pydantic_core import to_json

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
