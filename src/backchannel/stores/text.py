"""Text that can be kept and sent: whatever a model or a tool makes, it becomes valid Unicode without NUL."""

import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, cast

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

REPLACEMENT = "\ufffd"
"""What stands for a character that cannot be kept, as Unicode recommends."""


def storable(value: str) -> str:
    """The text without NUL, which PostgreSQL refuses, and half surrogates, which are no text; each becomes U+FFFD."""
    if "\x00" in value:
        value = value.replace("\x00", REPLACEMENT)
    try:
        value.encode()
    except UnicodeEncodeError:
        value = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


def json_of(model: BaseModel, *, exclude_none: bool = True, **options: Any) -> str:
    """A model as JSON, also when its texts have half surrogates, on which pydantic gives up."""
    try:
        return model.model_dump_json(exclude_none=exclude_none, **options)
    except PydanticSerializationError:
        whole = storable_data(model.model_dump(exclude_none=exclude_none, **options))
        return json.dumps(whole, ensure_ascii=False, separators=(",", ":"), default=str)


def storable_data(value: object) -> object:
    """The same data with every text in it made `storable`."""
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
