"""Estimates how many tokens a text is, by its script."""

import json
from typing import Any

CHARS_PER_TOKEN = 4
"""Of ASCII text: OpenAI's rule of thumb for English (https://help.openai.com/en/articles/4936856). Exact counts would
need each model's tokenizer."""

_TOKENS_BY_BYTES = (0.0, 1 / CHARS_PER_TOKEN, 0.5, 1.1, 2.5)
"""Tokens per character by the length of its UTF-8 form: accented Latin, Greek, Cyrillic, Hebrew and Arabic take two
bytes; Chinese, Japanese, Korean, Thai and Hindi three; emoji four. Measured with the tokenizers cl100k_base and
o200k_base, whose averages these exceed slightly: an estimate that is too low costs a refused call."""


def estimate_tokens(text: str) -> int:
    """About how many tokens `text` is."""
    if text.isascii():
        return -(-len(text) // CHARS_PER_TOKEN)
    return round(weigh(text)) + 1


def weigh(text: str) -> float:
    """How many tokens a piece of text adds to a longer one, about."""
    if text.isascii():
        return len(text) / CHARS_PER_TOKEN
    data = text.encode(errors="replace")
    astral = len(text.encode("utf-16-le", errors="replace")) // 2 - len(text)
    ascii_count = len(text.encode("ascii", "ignore"))
    rest = len(text) - ascii_count - astral
    # Two unknown counts from two sums: characters and bytes.
    three_bytes = len(data) - ascii_count - 4 * astral - 2 * rest
    counts = (0, ascii_count, rest - three_bytes, three_bytes, astral)
    return sum(count * weight for count, weight in zip(counts, _TOKENS_BY_BYTES, strict=True))


def estimate_item_tokens(item: Any) -> int:
    """About how many tokens an input item is. A picture counts as 1,000, whatever the size of its data."""
    text = json.dumps(item, ensure_ascii=False, default=str)
    pictures = text.count('"data:')
    if pictures:
        pieces = text.split('"data:')
        text = pieces[0] + "".join(piece.partition('"')[2] for piece in pieces[1:])
    return estimate_tokens(text) + 1_000 * pictures
