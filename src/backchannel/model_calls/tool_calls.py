"""Cleans the tool calls of models: names, arguments and ids in the form that every API accepts in a later input."""

import json
import re
import secrets
import string
from collections.abc import Collection, Container
from hashlib import blake2b
from typing import cast

from backchannel.model_calls.text import valid_text

ID_CHARS = 9
"""Mistral accepts exactly nine letters and digits as the id of a call; every other API accepts them too."""

MAX_NAME_CHARS = 64
_ALPHABET = string.digits + string.ascii_letters
_TEMPLATE_TOKEN = re.compile(r"<\|[^|>]*\|>|<｜[^｜>]*｜>|\[/?[A-Z_]+\]|</?[a-z_]+>")
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_-]+")
UNREADABLE = "unreadable_arguments"
"""The field in history that holds arguments which were not a JSON object."""
MAX_UNREADABLE_CHARS = 500


def call_id_for(unique: str) -> str:
    """The call id that stands in model input for a call with this unique id; the same each time."""
    number = int.from_bytes(blake2b(unique.encode(), digest_size=8).digest())
    characters: list[str] = []
    for _ in range(ID_CHARS):
        number, place = divmod(number, len(_ALPHABET))
        characters.append(_ALPHABET[place])
    return "".join(characters)


def usable_call_id(call_id: object, taken: Container[str]) -> str:
    """`call_id` if it is not `taken`; else, or if it is empty, a new one.

    Whatever its form is, the API that made it accepts it back, and some hide data in it that they need
    (`…__thought__…`: BerriAI/litellm#16895).
    """
    if isinstance(call_id, str) and call_id.strip() and call_id not in taken:
        return call_id
    return call_id_for(secrets.token_hex(16))


def usable_name(name: object, known: Collection[str]) -> str:
    """The name of a called tool.

    Models of some templates write template tokens or a namespace into it (`functions.lookup`, `lookup<|channel|>json`).
    If one of the `known` names is left without them, it is meant; else all characters that APIs refuse are replaced,
    and the model gets the error that there is no such tool.
    """
    text = name if isinstance(name, str) else ""
    if text in known:
        return text
    first = _TEMPLATE_TOKEN.split(text.strip())[0].strip()
    for candidate in (first, first.rpartition(".")[2], first.rpartition(":")[2], first.rpartition("/")[2]):
        if candidate in known:
            return candidate
    return api_name(first or text)


def api_name(name: str) -> str:
    """`name` with only the characters that every API accepts in the name of a tool, beginning with a letter or `_`."""
    cleaned = _NOT_IN_NAMES.sub("_", name).strip("_-")[:MAX_NAME_CHARS]
    if not cleaned:
        return "unknown_tool"
    return cleaned if cleaned[0].isalpha() else f"_{cleaned}"[:MAX_NAME_CHARS]


def usable_arguments(arguments: object) -> str:
    """The JSON text of a call's arguments, for the tool.

    Missing arguments become `{}`; an object in place of its text, text that was encoded twice, and an object with
    template tokens behind it become the object's text. Anything else is returned as it is: the tool reports it.
    """
    if arguments is None:
        return "{}"
    if not isinstance(arguments, str):
        return json.dumps(arguments, ensure_ascii=False, default=str)
    text = arguments.strip()
    if not text:
        return "{}"
    try:
        value, end = json.JSONDecoder().raw_decode(text)
    except ValueError:
        return arguments
    except RecursionError:
        # The Agents SDK fails for what it cannot parse for this reason; a part of it is broken JSON, which it reports.
        return text[:MAX_UNREADABLE_CHARS]
    if isinstance(value, str):
        return usable_arguments(value) if _is_object(value) else arguments
    if value is None and end == len(text):
        return "{}"
    rest = _TEMPLATE_TOKEN.sub("", text[end:]).strip()
    if isinstance(value, dict) and end < len(text) and (not rest or rest == text[:end]):
        return _encodable(cast("object", value), text[:end])
    return _encodable(cast("object", value), arguments)


def _encodable(value: object, text: str) -> str:
    """`text`, whose JSON is `value`, without escaped halves of surrogate pairs: parsed strings with one cannot be
    encoded, and the Agents SDK fails for them."""
    if "\\u" not in text or not isinstance(value, dict):
        return text
    written = json.dumps(cast("dict[str, object]", value), ensure_ascii=False)
    valid = valid_text(written)
    return text if valid == written else valid


def history_arguments(arguments: object) -> str:
    """The JSON text of an object, for model input. Arguments that are not an object are quoted in one."""
    text = usable_arguments(arguments)
    if _is_object(text):
        return text
    return json.dumps({UNREADABLE: text[:MAX_UNREADABLE_CHARS]}, ensure_ascii=False)


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text, parse_constant=_refuse), dict)
    except (ValueError, RecursionError):
        return False


def _refuse(constant: str) -> None:
    # Python's parser accepts NaN and Infinity, which are no JSON.
    raise ValueError(constant)
