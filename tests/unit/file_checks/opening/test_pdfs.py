"""What is read of PDFs, in this process."""

import io
from typing import Any

import pytest

import odd_files
from backchannel.file_checks.opening.pdfs import open_pdf

pytestmark = pytest.mark.row("E2", "E3")


@pytest.fixture(autouse=True)
def logging_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("logging.disable", lambda _level: None)


def opened(content: bytes, max_text_chars: int = 10_000) -> list[dict[str, Any]]:
    reports: list[dict[str, Any]] = []
    open_pdf(io.BytesIO(content), {"max_text_chars": max_text_chars}, reports.append)
    return reports


def test_the_pages_are_counted_and_their_text_is_read():
    assert opened(odd_files.pdf("First words", "", "Third words")) == [
        {"pages": 3},
        {"page": 1, "text": "First words"},
        {"page": 3, "text": "Third words"},
    ]


def test_a_scanned_pdf_has_no_text():
    assert opened(odd_files.pdf("")) == [{"pages": 1}]


def test_pages_are_read_until_there_is_enough():
    reports = opened(odd_files.pdf(*["words of a page"] * 50), 100)
    assert reports[0] == {"pages": 50}
    assert len(reports) == 8


def test_a_pdf_after_other_bytes_is_read():
    assert opened(b"\r\n" + odd_files.pdf("Words"))[0] == {"pages": 1}


@pytest.mark.parametrize("algorithm", ["RC4-40", "RC4-128", "AES-128", "AES-256"])
def test_a_password_is_not_guessed_and_an_empty_one_is_tried(algorithm: str):
    assert opened(odd_files.encrypted_pdf("secret", algorithm=algorithm)) == [{"encrypted": True}]
    assert opened(odd_files.encrypted_pdf("", algorithm=algorithm))[1]["text"] == "Hidden words"


@pytest.mark.parametrize(
    "content", [b"%PDF-1.4\n", b"%PDF-1.4\n" + b"x" * 2000, odd_files.pdf(), odd_files.pdf("a")[:60]]
)
def test_pdfs_that_cannot_be_opened(content: bytes):
    with pytest.raises(Exception):  # noqa: B017, PT011 - the process reports any as damaged
        opened(content)


def test_a_damaged_table_of_objects_is_rebuilt():
    content = odd_files.pdf("Words")
    place = content.index(b"startxref") + 10
    assert opened(content[:place] + b"99999\n%%EOF")[1]["text"] == "Words"


# py-pdf/pypdf#140, #2093, #966, pdfminer/pdfminer.six#1113: objects that contain themselves.
@pytest.mark.parametrize(
    "objects",
    [
        [b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [2 0 R] /Count 1 >>"],
        [b"<< /Type /Catalog /Pages 1 0 R /Kids [1 0 R] >>"],
        [b"<< /Type /Catalog /Pages 2 0 R >>", b"2 0 R"],
    ],
)
def test_pages_that_contain_themselves(objects: list[bytes]):
    try:
        reports = opened(odd_files.pdf_of(objects))
    except Exception:
        return
    assert all("text" not in each for each in reports)


def test_forms_that_contain_themselves():
    form = (
        b"<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /X 5 0 R >> >> /Length 5 >>\n"
        b"stream\n/X Do\nendstream"
    )
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Resources << /XObject << /X 5 0 R >> >> /Contents 4 0 R >>",
        b"<< /Length 5 >>\nstream\n/X Do\nendstream",
        form,
    ]
    assert opened(odd_files.pdf_of(objects)) == [{"pages": 1}]
