"""Titles of threads that nobody has named."""

MAX_CHARS = 60


def title_from(message: str) -> str | None:
    """A title from a first message: its first line, cut at a word. `None` if there are no words."""
    line = next((line.strip() for line in message.splitlines() if line.strip()), "")
    line = " ".join(line.split())
    if len(line) > MAX_CHARS:
        line = (line[:MAX_CHARS].rpartition(" ")[0] or line[: MAX_CHARS - 1]).rstrip(" ,;:.-") + "…"
    if not any(character.isalnum() for character in line):
        return None
    return line[:1].upper() + line[1:]
