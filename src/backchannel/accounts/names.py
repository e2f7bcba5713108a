"""Names for logins: normalised, so that each has one spelling, and without characters that are not seen."""

import re
import unicodedata

from backchannel.errors import InvalidInputError

MAX_CHARS = 100

_ALPHABETS = ("LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC")
"""Alphabets with letters that look the same. A name has letters of at most one of them (compare Unicode Technical
Standard 39, section 5.1)."""

_BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Letters and marks that show nothing (Default_Ignorable_Code_Point in the Unicode Character Database)."""

_PUNCTUATION = frozenset("._-+@'")
_EDGES = re.compile(r"[.\-+@']")


def normalised(name: str) -> str | None:
    """The name under which an account is found: NFKC and case-folded (Unicode Standard, section 5.18), without white
    space around it. `None` if no account can have such a name."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name.strip()).casefold())
    if not 1 <= len(folded) <= MAX_CHARS or not all(map(_permitted, folded)) or _BLANK.search(folded):
        return None
    return folded


def checked(name: str) -> str:
    """The normalised name of a new account.

    Raises:
        InvalidInputError: Such a name cannot be had; the message says why.
    """
    found = normalised(name)
    if found is None:
        raise InvalidInputError(
            f"The name must have 1 to {MAX_CHARS} letters, digits and . _ - + @ ' and no white space or invisible "
            "characters."
        )
    if not any(character.isalnum() for character in found) or _EDGES.match(found):
        raise InvalidInputError(
            "The name must begin with a letter, a digit or _, and have a letter or a digit."
        )
    if len(used := _alphabets(found)) > 1:
        raise InvalidInputError(
            f"The name mixes {' and '.join(used)} letters, some of which look the same: use one alphabet."
        )
    return found


def _permitted(character: str) -> bool:
    # Letters, marks and numbers. No control, format (bidirectional, zero-width) or private characters.
    return unicodedata.category(character)[0] in "LMN" or character in _PUNCTUATION


def _alphabets(name: str) -> list[str]:
    words = {unicodedata.name(each, "").partition(" ")[0] for each in name if each.isalpha()}
    return [each.title() for each in _ALPHABETS if each in words]
