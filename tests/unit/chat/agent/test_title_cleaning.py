"""Titles out of what models reply to the request for one (open-webui/open-webui#9030, #1955)."""

import pytest

from backchannel.chat.agent.title_cleaning import clean_title

pytestmark = pytest.mark.row("M19")


@pytest.mark.parametrize(
    ("reply", "title"),
    [
        ("Oat milk", "Oat milk"),
        ('"Oat milk"', "Oat milk"),
        ("“Oat milk”", "Oat milk"),
        ("„Hafermilch“", "Hafermilch"),
        ("« Lait d'avoine »", "Lait d'avoine"),
        ("「牛乳」", "牛乳"),
        ("**Oat milk**", "Oat milk"),
        ("*Oat milk*", "Oat milk"),
        ("`Oat milk`", "Oat milk"),
        ("'Oat milk'.", "Oat milk"),
        ("# Oat milk", "Oat milk"),
        ("- Oat milk", "Oat milk"),
        ("Title: Oat milk", "Oat milk"),
        ("**Title:** Oat milk", "Oat milk"),
        ("Titel: Hafermilch", "Hafermilch"),
        ("标题：燕麦奶", "燕麦奶"),
        ("Suggested title: “Oat milk”", "Oat milk"),
        ("Conversation title: Oat milk.", "Oat milk"),
        ("Sure, here's a title: Oat milk", "Oat milk"),
        ('Sure! Here is a title for your conversation:\n\n"Oat milk"', "Oat milk"),
        ("Of course!\nTitle: Oat milk", "Oat milk"),
        ("Here are some possible titles:\n- Oat milk\n- Milk of oats", "Oat milk"),
        ('{"title": "Oat milk"}', "Oat milk"),
        ('{"chat_title": "Oat milk", "emoji": "x"}', "Oat milk"),
        ('```json\n{"title": "Oat milk"}\n```', "Oat milk"),
        ('Here you go: {"title": "Oat milk"}', "Oat milk"),
        ('["Oat milk", "Milk"]', "Oat milk"),
        ('"Oat \\"milk\\""', 'Oat "milk"'),
        ("<think>The person wants milk.</think>\n\nOat milk", "Oat milk"),
        ("<think>\nOat\n</think>Title: Oat milk", "Oat milk"),
        ("The person wants milk.\n</think>\nOat milk", "Oat milk"),
        ("Oat milk.", "Oat milk"),
        ("燕麦奶。", "燕麦奶"),
        ("  Oat\tmilk \n", "Oat milk"),
        ("🥛 Oat milk", "🥛 Oat milk"),
    ],
)
def test_the_title_is_found(reply: str, title: str):
    assert clean_title(reply) == title


@pytest.mark.parametrize(
    "title",
    [
        "Intro to C#", ".NET basics", '"Dune" vs "Foundation"', "F# or C#?", "#hashtags explained", "What is *args?",
        "Title IX compliance", "Node.js vs. Deno", "Working at Apple Inc.", "Life in the U.S.", "To be continued...",
        "Sorry Seems to Be the Hardest Word", "Here comes the sun", "C++ templates", "'Tis the season",
        "Name that tune", "What's in a name?", "I, Robot", "Ok Computer", "{braces} in Python", "[Brackets] in YAML",
        "Error: file not found", "A/B tests: how many users?", "__init__ explained", "Dogs' and cats' food",
        "The \"best\" tea", "¿Qué es .NET?", "3.5 stars", "Vitamin C",
    ],
)  # fmt: skip
def test_a_title_is_not_damaged(title: str):
    assert clean_title(title) == title


@pytest.mark.parametrize(
    "reply",
    [
        "", "   ", "…", "***", '""', "<think>The person wants", "I'm sorry, but I can't help with that.",
        "I cannot create a title for this.", "As an AI language model, I do not have opinions.", "抱歉，我无法帮助。",
        "Sorry, I can't do that.", "{}", "```\n```", "Sure!",
        "To make oat milk, first soak the oats in cold water for twenty minutes, then blend them and strain the rest.",
    ],
)  # fmt: skip
def test_what_is_no_title_is_none(reply: str):
    assert clean_title(reply) is None
