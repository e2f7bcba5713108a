"""Text from models, made valid Unicode."""


class SurrogateJoiner:
    """Joins the halves of surrogate pairs that arrive in two deltas, and replaces halves without a partner.

    JSON may escape a character outside the basic plane as two code units, and some servers split their deltas between
    them. A lone half cannot be encoded in UTF-8 (RFC 8259, section 8.2), so it would break the stream of events.
    """

    def __init__(self) -> None:
        self._held = ""

    @property
    def holds(self) -> bool:
        """Whether a first half is held back."""
        return bool(self._held)

    def feed(self, delta: str) -> str:
        """The text that is complete with `delta`: a first half at its end is held back."""
        if not self._held and delta.isascii():
            return delta.replace("\0", "\ufffd")
        text, self._held = self._held + delta, ""
        if "\ud800" <= text[-1:] <= "\udbff":
            text, self._held = text[:-1], text[-1]
        return valid_text(text)

    def end(self) -> str:
        """What is left: a replacement character for a half without a partner."""
        held, self._held = self._held, ""
        return valid_text(held)


def valid_text(text: str) -> str:
    """`text` with surrogate pairs as one character, and with U+FFFD in place of lone surrogates and of NUL, which
    PostgreSQL does not store."""
    text = text.replace("\0", "\ufffd")
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
