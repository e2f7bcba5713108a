"""Generates the example of all settings: `python -m backchannel.settings_reference > .env.example`."""

import re
import sys
from typing import Any

from pydantic.fields import FieldInfo

from backchannel.settings import Settings

_HEADER = """\
# Every setting of Backchannel with its default. Copy this file to .env, then uncomment and change what you need.
# The environment takes precedence over the file. Generated from src/backchannel/settings/; do not edit.
"""
_SENTENCE = re.compile(r"(?<=\.)\s+(?=\S)")


def env_example() -> str:
    """The text of `.env.example`: the first sentence of each setting's description, its variable and its default.

    All lines are comments. A setting without a default has an empty value. The order is that of `Settings`.
    """
    entries = [_entry(name, field) for name, field in Settings.model_fields.items()]
    return "\n".join([_HEADER, *entries])


def variable(name: str, field: FieldInfo) -> str:
    """The environment variable that sets a field."""
    alias = field.validation_alias
    return alias if isinstance(alias, str) else f"{Settings.model_config.get('env_prefix', '')}{name}".upper()


def _entry(name: str, field: FieldInfo) -> str:
    sentence = _SENTENCE.split(field.description or "", maxsplit=1)[0]
    return f"# {sentence}\n#{variable(name, field)}={_format_default(field.default)}\n"


def _format_default(default: Any) -> str:
    match default:
        case None:
            return ""
        case bool():
            return str(default).lower()
        case tuple():
            return ",".join(map(str, default))  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        case _:
            return str(default)


if __name__ == "__main__":
    sys.stdout.write(env_example())
