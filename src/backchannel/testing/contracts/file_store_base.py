"""Shared by the file store suites: names of files, and short ways to write and read."""

import hashlib
from pathlib import Path
from urllib.parse import quote

from backchannel.file_stores.base import FileStore

BIG_BYTES = 24 * 1_048_576
"""More than any part of an upload, and no multiple of the size of pieces with the odd bytes at its end."""

FILE_NAMES = (
    "plain.txt",
    "two words.txt",
    "two  spaces.txt",
    "100% + 1 #2?.txt",
    "%2e%2e%2f.txt",
    'say "hello"; it\'s.txt',
    "back\\slash.txt",
    "résumé.txt",
    "灯泡.jpeg",
    "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467.png",
    "שלום.pdf",
    "مرحبا (1).pdf",
    "a&b=c;d,e.txt",
)


async def put(store: FileStore, key: str, source: Path | bytes) -> None:
    """Put a file whose type and name do not matter."""
    await store.put(key, source, mime_type="application/octet-stream", disposition="attachment")


async def read(store: FileStore, key: str, start: int = 0, end: int | None = None) -> bytes:
    """All bytes of a file, or of a part of it."""
    return b"".join([piece async for piece in store.read(key, start, end)])


def attachment(name: str) -> str:
    """A `Content-Disposition` as RFC 6266 has it: an ASCII name, and the right one."""
    ascii_name = name.encode("ascii", "replace").decode()
    plain = "".join(each if each.isalnum() or each in "._- " else "_" for each in ascii_name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def write_big_file(path: Path) -> str:
    """Write `BIG_BYTES` and seven; gives their digest."""
    block = bytes(range(256)) * 4096
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for number in range(BIG_BYTES // len(block)):
            data = number.to_bytes(4) + block[4:]
            file.write(data)
            digest.update(data)
        file.write(b"the end")
        digest.update(b"the end")
    return digest.hexdigest()
