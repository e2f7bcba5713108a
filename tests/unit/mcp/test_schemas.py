"""Schemas of tools that providers refuse, in a form that they accept."""

from collections.abc import Mapping
from typing import Any, override

import pytest

from backchannel.mcp.schemas import plain_object

pytestmark = pytest.mark.row("B9", "M20")


class Read(dict[str, Any]):
    """A schema that counts how often its properties are read."""

    times = 0

    @override
    def get(self, key: str, default: Any = None) -> Any:
        self.times += key == "properties"
        return super().get(key, default)


def properties(*names: str) -> dict[str, Mapping[str, str]]:
    return {name: {"type": "string"} for name in names}


def test_a_schema_without_alternatives_is_returned_as_it_is():
    schema = {"type": "object", "properties": {"path": {"anyOf": [{"type": "string"}, {"type": "null"}]}}}
    assert plain_object(schema) is schema


def test_only_what_each_call_needs_is_required():
    schema = {
        "allOf": [{"properties": properties("path"), "required": ["path"]}],
        "anyOf": [
            {"properties": properties("text"), "required": ["text"]},
            {"properties": properties("data"), "required": ["data"]},
        ],
    }
    assert plain_object(schema) == {
        "type": "object",
        "properties": properties("path", "text", "data"),
        "required": ["path"],
    }


def test_references_to_one_schema_do_not_multiply():
    """A server of somebody else could otherwise block the event loop, at each listing."""
    entry = Read(properties=properties("path"), anyOf=[{"$ref": "#/$defs/entry"} for _ in range(50)])
    plain = plain_object({"$ref": "#/$defs/entry", "$defs": {"entry": entry}})
    assert plain["properties"] == properties("path")
    # As part of every call, and as an alternative.
    assert entry.times == 2


def test_a_long_chain_of_references_is_followed_to_its_end():
    chain = {f"e{number}": {"$ref": f"#/$defs/e{number + 1}"} for number in range(5000)}
    schema = {"$ref": "#/$defs/e0", "$defs": {**chain, "e5000": {"properties": properties("path")}}}
    assert plain_object(schema)["properties"] == properties("path")
