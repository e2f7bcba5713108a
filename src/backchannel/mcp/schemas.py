"""Schemas of tools' arguments in the form that every provider accepts."""

from collections.abc import Iterator
from typing import Any, cast

type Schema = dict[str, Any]

_REFUSED = (
    "anyOf",
    "oneOf",
    "allOf",
    "enum",
    "const",
    "not",
    "if",
    "then",
    "else",
    "dependentSchemas",
    "$ref",
)
"""What providers refuse at the top level of a schema; below it they accept it."""


def plain_object(schema: Schema) -> Schema:
    """The schema of an object without alternatives at its top level.

    The properties of all alternatives are offered, and only those that each call needs are required: the server checks
    the rest. A schema that has none is returned as it is.
    """
    if not any(key in schema for key in _REFUSED):
        return schema
    properties: Schema = {}
    required: list[str] = []
    for part, always in _parts(schema):
        own = cast("object", part.get("properties"))
        if isinstance(own, dict):
            for name, each in cast("Schema", own).items():
                properties.setdefault(name, each)
        if always and isinstance(part.get("required"), list):
            required += [name for name in part["required"] if name not in required]
    kept = {key: value for key, value in schema.items() if key not in _REFUSED}
    kept |= {"type": "object", "properties": properties}
    if required:
        kept["required"] = required
    return kept


def _parts(root: Schema) -> Iterator[tuple[Schema, bool]]:
    """The schemas that describe one object, each once and in order, and whether each holds for every call."""
    left: list[tuple[Schema, bool]] = [(root, True)]
    # References can lead back, or from many places to the same one.
    seen: set[tuple[int, bool]] = set()
    while left:
        schema, always = left.pop()
        if (id(schema), always) in seen:
            continue
        seen.add((id(schema), always))
        yield schema, always
        below: list[tuple[object, bool]] = []
        if isinstance(schema.get("$ref"), str):
            below.append((_resolved(schema["$ref"], root), always))
        for key in ("allOf", "anyOf", "oneOf"):
            alternatives = cast("object", schema.get(key))
            if isinstance(alternatives, list):
                below += [(each, always and key == "allOf") for each in cast("list[object]", alternatives)]
        below += [(schema.get(key), False) for key in ("then", "else")]
        left += [(cast("Schema", each), holds) for each, holds in reversed(below) if isinstance(each, dict)]


def _resolved(reference: str, root: Schema) -> object:
    """What a reference within a schema stands for; `None` if it is elsewhere."""
    found: object = root
    if not reference.startswith("#/"):
        return None
    for key in reference[2:].split("/"):
        name = key.replace("~1", "/").replace("~0", "~")
        found = _entry(found, name)
    return found


def _entry(value: object, name: str) -> object:
    return cast("Schema", value).get(name) if isinstance(value, dict) else None
