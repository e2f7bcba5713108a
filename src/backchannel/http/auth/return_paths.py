"""Where a browser goes after a login: a path of this server, and never another site."""

import re
from urllib.parse import unquote

MAX_CHARS = 2000

_PATH = re.compile(r"/(?![/\\])[!-~]*")
_HIDDEN = re.compile(r"[\x00-\x1f\x7f]")
_DOTS = re.compile(r"/\.\.?(/|$)")


def return_path(given: str | None, default: str, *, prefix: str = "") -> str:
    """A path to return to, if it is one on this server, else `default`.

    Browsers take `//host`, `/\\host` and a `/`, a tab and `/host` for addresses of other sites, and proxies decode
    what was encoded once or twice: none of it is accepted, in any place of the path, nor a control character
    anywhere.

    Args:
        prefix: Under which the server is, without a slash at its end. What is not below it belongs to a neighbour.
    """
    if not given or len(given) > MAX_CHARS or not _PATH.fullmatch(given) or "\\" in given:
        return default
    decoded = given
    for _ in range(3):
        path = re.split(r"[?#]", decoded, maxsplit=1)[0]
        if "//" in path or "\\" in path or _HIDDEN.search(decoded) or _DOTS.search(path):
            return default
        if path != prefix and not path.startswith(f"{prefix}/"):
            return default
        decoded = unquote(decoded)
    return given
