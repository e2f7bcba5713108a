"""Opens a PDF: how many pages it has, and their text."""

import logging
from typing import Any, BinaryIO

from pypdf import PasswordType, PdfReader
from pypdf.errors import FileNotDecryptedError

from .limits import RefusedError, Report, run


def open_pdf(file: BinaryIO, options: dict[str, Any], report: Report) -> None:
    """Report `encrypted`, or `pages` and then the `text` of each page that has any, until there is enough.

    A page whose text cannot be read is one without text.

    Args:
        file: The PDF.
        options: `max_text_chars`: after so many characters, pages are not read any more.
        report: Gets each report.

    Raises:
        RefusedError: `damaged`: it has no pages.
        Exception: Any; the file is damaged.
    """
    logging.disable(logging.CRITICAL)
    reader = PdfReader(file, strict=False)
    if reader.is_encrypted and not _is_opened(reader):
        report({"encrypted": True})
        return
    try:
        pages = len(reader.pages)
    except FileNotDecryptedError:
        report({"encrypted": True})
        return
    if not pages:
        raise RefusedError("damaged")
    report({"pages": pages})
    left = int(options["max_text_chars"])
    for number in range(pages):
        text = _text_of(reader, number)
        if text.strip():
            report({"page": number + 1, "text": text[: left + 1]})
        left -= len(text)
        if left < 0:
            break


def _is_opened(reader: PdfReader) -> bool:
    """Whether the PDF only restricts what may be done with it, and opens without a password."""
    try:
        return reader.decrypt("") != PasswordType.NOT_DECRYPTED
    except Exception:
        return False


def _text_of(reader: PdfReader, number: int) -> str:
    try:
        return reader.pages[number].extract_text()
    except MemoryError:
        raise
    except Exception:
        return ""


def main() -> None:
    """Open the PDF that is the standard input."""
    run(open_pdf)
