"""The names of files: as they are shown, and as a response carries them.

A name is for people only. No path, no key of an object and no type is made of it without these functions.
"""

import re
import unicodedata
from urllib.parse import quote

MAX_NAME_BYTES = 255
"""Of UTF-8: what file systems take."""

DEFAULT_NAME = "file"

_MAX_FALLBACK = 100
_LOOKED_AT = 2048
"""Characters at either end of a longer name. Normalising very long runs of combining marks takes quadratic time."""

_ZWNJ, _ZWJ = "\u200c", "\u200d"
_FILLERS = frozenset("\u115f\u1160\u3164\uffa0\u2800")
"""Letters and symbols that show nothing."""

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Cn", "Zl", "Zp"})
_SEPARATORS = re.compile(r"[/\\]+")
_EXTENSION = re.compile(r"\.([A-Za-z0-9_+-]{1,16})$")
_RESERVED = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3])(\.|$)", re.IGNORECASE
)
"""Names of devices on Windows, with any extension."""


def display_name(name: str) -> str:
    """The name of a file as it is stored and shown; the same when it is applied again.

    Unicode form NFC; without folders, control characters, characters that change the direction of text or show nothing,
    and dots or spaces at the end; at most `MAX_NAME_BYTES`, shortened before its extension. Letters of every script are
    as they were.

    Returns:
        A name that is never empty, `.` or `..`.
    """
    last = next((part for part in reversed(_SEPARATORS.split(name)) if _visible(part).strip(" .")), "")
    if len(last) > 2 * _LOOKED_AT:
        last = last[:_LOOKED_AT] + last[-_LOOKED_AT:]
    shown = unicodedata.normalize("NFC", _visible(unicodedata.normalize("NFC", last)))
    shown = " ".join(shown.split()).rstrip(" .")
    if not shown:
        return DEFAULT_NAME
    if _RESERVED.match(shown):
        shown = f"_{shown}"
    return _shortened(shown, MAX_NAME_BYTES)


def extension(name: str) -> str:
    """The extension of the name as it is shown, in lower case and without its dot; empty if it has none.

    A name that begins with its only dot, such as `.env`, has the extension `env`.
    """
    found = _EXTENSION.search(display_name(name))
    return found[1].lower() if found else ""


def content_disposition(name: str) -> str:
    """The header `Content-Disposition` that has browsers save a file under a name (RFC 6266, RFC 8187).

    The name is cleaned as by `display_name`, whatever it went through before.

    Returns:
        ASCII without control characters, at most 1 kB.
    """
    shown = display_name(name)
    plain = unicodedata.normalize("NFKD", shown)
    plain = "".join(each for each in plain if not unicodedata.combining(each))
    # A percent sign is decoded by some browsers, and quotes and backslashes are escaped in different ways.
    plain = re.sub(r'[^\x20-\x7e]|["\\%/]', "_", plain)
    # What is left may be nothing, or the name of a device.
    plain = _shortened(display_name(plain), _MAX_FALLBACK)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(shown, safe='')}"


def _visible(text: str) -> str:
    kept: list[str] = []
    for place, each in enumerate(text):
        if each.isspace():
            kept.append(" ")
        elif each in (_ZWNJ, _ZWJ):
            # They join letters of some scripts, and emoji; elsewhere they only make names look alike.
            if _is_joined(text, place):
                kept.append(each)
        elif unicodedata.category(each) not in _HIDDEN and each not in _FILLERS:
            kept.append(each)
    return "".join(kept)


def _is_joined(text: str, place: int) -> bool:
    around = text[max(place - 1, 0) : place] + text[place + 1 : place + 2]
    return len(around) == 2 and all(
        each > "\u02ff" and unicodedata.category(each)[0] in "LMS" and each not in _FILLERS for each in around
    )


def _shortened(name: str, limit: int) -> str:
    if len(name.encode()) <= limit:
        return name
    found = _EXTENSION.search(name)
    ending = found[0] if found else ""
    stem = name.removesuffix(ending).encode()[: limit - len(ending)].decode(errors="ignore")
    return stem.rstrip(f" .{_ZWJ}{_ZWNJ}") + ending
