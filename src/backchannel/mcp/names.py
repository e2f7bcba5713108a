"""Names of tools that every provider accepts."""

import re
from hashlib import sha256

MAX_TOOL_NAME_CHARS = 64
"""The longest name of a tool that providers accept."""

_HASH_CHARS = 8
_NOT_ALLOWED = re.compile(r"[^A-Za-z0-9_-]")


def tool_name(name: str, server: str | None = None) -> str:
    """The name that agents get for the server's own name of a tool: `<server>__<tool>` with a `server`.

    MCP allows dots, slashes and 128 characters; providers refuse every request with such a tool. A name that is not
    accepted gets a hash at its end, so that it stays distinct. It does not depend on other tools.
    """
    wanted = name if server is None else f"{server}__{name}"
    usable = _NOT_ALLOWED.sub("_", wanted)
    if not (usable[:1].isalpha() or usable.startswith("_")):
        # Gemini.
        usable = f"_{usable}"
    if usable == wanted and len(usable) <= MAX_TOOL_NAME_CHARS:
        return usable
    digest = sha256(name.encode()).hexdigest()[:_HASH_CHARS]
    return f"{usable[: MAX_TOOL_NAME_CHARS - _HASH_CHARS - 1]}_{digest}"
