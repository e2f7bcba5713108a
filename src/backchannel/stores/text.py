"""Text that can be stored and sent: text of models and tools, made valid Unicode without NUL."""

import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, cast

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

REPLACEMENT = "\ufffd"
"""Replaces a character that cannot be stored, as Unicode recommends."""


def storable(value: str) -> str:
    """The text with NUL, which PostgreSQL refuses, and lone surrogates, which have no UTF-8, replaced by U+FFFD."""
    if "\x00" in value:
        value = value.replace("\x00", REPLACEMENT)
    try:
        value.encode()
    except UnicodeEncodeError:
        value = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


def json_of(model: BaseModel, *, exclude_none: bool = True, **options: Any) -> str:
    """A model as JSON. Lone surrogates, on which pydantic fails, are replaced as in `storable`."""
    try:
        return model.model_dump_json(exclude_none=exclude_none, **options)
    except PydanticSerializationError:
        data = storable_data(model.model_dump(exclude_none=exclude_none, **options))
        return json.dumps(data, ensure_ascii=False, separators=(",", ":"), default=str)


def storable_data(value: object) -> object:
    """The same data with `storable` applied to every string."""
    match value:
        case str():
            return storable(value)
        case Mapping():
            entries = cast("Mapping[object, object]", value)
            return {storable_data(key): storable_data(each) for key, each in entries.items()}
        case Sequence():
            return [storable_data(each) for each in cast("Sequence[object]", value)]
        case date():
            return value.isoformat()
        case _:
            return value
