"""Finds the title in what a model replied when it was asked for one."""

import json
import re
from typing import Any, cast

from backchannel.model_calls.thought_tags import split_thoughts

MAX_TITLE_CHARS = 120
MAX_TITLE_WORDS = 14
"""A longer reply is an answer to the message and no title for it."""

_FENCE = re.compile(r"```[\w-]*\s*(.*?)\s*```", re.DOTALL)
_LABEL = re.compile(
    r"[\s*_#>]*(?:(?:the|a|my|your|conversation|chat|thread|suggested|proposed|possible|generated|new)\s+)*"
    r"(?:title|titel|titre|título|titulo|titolo|tytuł|název|название|заголовок|标题|標題|タイトル|제목|العنوان|शीर्षक)"
    r"(?:\s+(?:for|of)\s+(?:the|this|your)\s+\w+)?[*_\s]*[:：][*_\s]*",
    re.IGNORECASE,
)
_INTRODUCTION = re.compile(
    r"(?:sure|certainly|of course|okay|ok|absolutely|great|here|based on|i(?:'d| would| have|'ll)?)\b[^:：\n]{0,80}?"
    r"\b(?:title|titles|name)\b[^:：\n]{0,40}[:：]\s*",
    re.IGNORECASE,
)
_CHATTER = re.compile(
    r"(?:sure|certainly|of course|okay|ok|absolutely|great)(?:\b[^\n]{0,30}[!.,])?", re.IGNORECASE
)
_REFUSAL = re.compile(
    r"(?:i['’]?m|i am|we['’]?re) (?:very |so |really )?(?:sorry|unable|not able)|sorry,? (?:but )?i\b"
    r"|i (?:can(?:no|['’])t|won['’]t|will not|do not|don['’]t) |as an ai\b|unfortunately,? i\b|i apologi[sz]e"
    r"|es tut mir leid|lo siento,|je suis désolé|mi dispiace|抱歉|很抱歉|对不起|申し訳|죄송",
    re.IGNORECASE,
)
_QUOTES = {
    '"': '"', "'": "'", "`": "`", "“": "”", "„": "“”", "«": "»", "»": "«", "‘": "’", "‚": "‘’", "「": "」",
    "『": "』", "《": "》", "〈": "〉", "＂": "＂", "‹": "›", "*": "*", "_": "_",
}  # fmt: skip
_ABBREVIATIONS = frozenset(
    {"inc", "ltd", "co", "corp", "etc", "vs", "jr", "sr", "dr", "mr", "mrs", "st", "no"}
)


def clean_title(reply: str) -> str | None:
    """The title in a model's reply, on one line; `None` if there is none.

    Removes thoughts, JSON and code around it, introductions, labels, quotation marks around the whole, marks of
    headings and lists, and a full stop at the end.
    """
    text = split_thoughts(reply)[1].strip()
    fence = _FENCE.fullmatch(text) or _FENCE.search(text)
    if fence is not None and fence[1].strip():
        text = fence[1]
    text = _from_json(text)
    title = _first_title_line(text)
    if title is None or _REFUSAL.match(title):
        return None
    title = _without_stop(_unquoted(title))
    words = title.split()
    if len(title) > MAX_TITLE_CHARS or len(words) > MAX_TITLE_WORDS:
        return None
    return " ".join(words) if any(character.isalnum() for character in title) else None


def _from_json(text: str) -> str:
    """The text in a JSON string, list or object; `text` itself if it is no JSON."""
    place = text.find("{")
    candidates = [text, text[place : text.rfind("}") + 1]] if 0 <= place < text.rfind("}") else [text]
    for candidate in candidates:
        try:
            value: Any = json.loads(candidate)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, list) and value:
            value = cast("list[Any]", value)[0]
        if isinstance(value, dict):
            fields = cast("dict[str, Any]", value)
            named = [fields[name] for name in fields if "title" in str(name).lower() or name == "name"]
            value = next(iter([*named, *fields.values()]), None)
        if isinstance(value, str):
            return value
    return text


def _first_title_line(text: str) -> str | None:
    for raw in text.splitlines():
        line = re.sub(r"^(?:#{1,6}\s+|[-*•]\s+|>\s+)", "", raw.strip())
        for pattern in (_INTRODUCTION, _LABEL):
            found = pattern.match(line)
            if found is not None:
                line = line[found.end() :].strip()
        if not line or _CHATTER.fullmatch(line) or (line.endswith((":", "：")) and len(line.split()) > 1):
            continue
        return line
    return None


def _unquoted(title: str) -> str:
    """Without quotation marks around the whole: `"Dune" vs "Foundation"` keeps its own."""
    while len(title) > 1 and title[-1] in _QUOTES.get(title[0], ""):
        inner = title[1:-1]
        if title[0] in inner or title[-1] in inner:
            doubled = title[:2] == title[0] * 2 and title[-2:] == title[-1] * 2 and title[0] in "*_"
            if not doubled or title[0] in title[2:-2]:
                break
            inner = title[2:-2]
        title = inner.strip()
    return title.strip()


def _without_stop(title: str) -> str:
    if title.endswith("。"):
        return title[:-1]
    if not title.endswith(".") or title.endswith(".."):
        return title
    last = title[:-1].split()[-1:] or [""]
    if "." in last[0] or last[0].lower() in _ABBREVIATIONS or len(last[0]) == 1:
        return title
    return _unquoted(title[:-1])
