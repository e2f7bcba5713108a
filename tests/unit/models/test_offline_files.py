"""The offline model and attachments: it lists them, reads out texts, and answers everything else as without them."""

from typing import Any

import pytest
from agents.items import TResponseInputItem

from backchannel.models.offline_files import about_attachments, without_attachments

pytestmark = pytest.mark.row("E3", "B7")

NOTES = '<Attachment name="notes.txt" type="text/plain">\nmilk\n```\nbread\n</Attachment>'
PHOTO = '<Attachment name="photo.png" type="image/png" />'
OLD = '<Attachment name="old.md" type="text/markdown">\nlast year\n</Attachment>'


def message(*texts: str, picture: bool = False) -> TResponseInputItem:
    parts: list[Any] = [{"type": "input_text", "text": text} for text in texts]
    if picture:
        parts.append({"type": "input_image", "image_url": "data:image/png;base64,"})
    return {"role": "user", "type": "message", "content": parts}  # type: ignore[return-value]


def answer(*items: TResponseInputItem) -> str | None:
    _, attached, sentence = without_attachments(list(items))
    return about_attachments(attached, sentence)


EARLIER = (message("keep this", OLD), {"role": "assistant", "content": "ok"})


@pytest.mark.parametrize(
    "sentence", ["list attachments", "What files are attached?", "show my files", "Which files did I attach"]
)
def test_it_lists_all_of_the_conversation(sentence: str):
    listed = answer(*EARLIER, message(sentence, NOTES, PHOTO, picture=True))
    assert listed is not None
    assert all(
        each in listed for each in ("`old.md` (text/markdown)", "`notes.txt`", "`photo.png` (image/png)")
    )
    assert "read old.md" in listed


@pytest.mark.parametrize(
    "sentence",
    [
        "read notes.txt",
        "Please open `notes.txt`.",
        "What does notes.txt say?",
        "read the file",
        "show NOTES.TXT",
    ],
)
def test_it_reads_a_text_out(sentence: str):
    text = answer(*EARLIER, message(sentence, NOTES))
    assert text is not None
    # The fence is longer than the one in the text.
    assert "````\nmilk\n```\nbread\n````" in text


def test_an_earlier_one_can_be_read_later():
    text = answer(message("hi", OLD), {"role": "assistant", "content": "ok"}, message("read old.md"))
    assert text is not None
    assert "last year" in text


def test_a_picture_is_none_to_it():
    text = answer(message("read photo.png", PHOTO, picture=True))
    assert text is not None
    assert "cannot see pictures" in text


def test_a_message_of_attachments_alone_is_answered_with_their_list():
    text = answer(*EARLIER, message("", NOTES))
    assert text is not None
    assert "notes.txt" in text
    assert "old.md" not in text


@pytest.mark.parametrize("sentence", ["add buy milk", "hello", "read me a story", "what is new"])
def test_everything_else_is_answered_as_without_them(sentence: str):
    items = [*EARLIER, message(sentence, NOTES, PHOTO, picture=True)]
    rest, attached, found = without_attachments(items)
    assert about_attachments(attached, found) is None
    assert found == sentence
    assert rest[-1] == message(sentence)
    assert len(rest) == len(items)


@pytest.mark.parametrize("sentence", ["list attachments", "read the file"])
def test_without_attachments_nothing_is_about_them(sentence: str):
    assert answer(message(sentence)) is None
    assert without_attachments(sentence) == (sentence, [], sentence)


def test_a_long_text_is_cut():
    text = answer(
        message("read a.txt", f'<Attachment name="a.txt" type="text/plain">\n{"x" * 9000}\n</Attachment>')
    )
    assert text is not None
    assert "5,000 characters more" in text
