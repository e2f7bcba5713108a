"""stub"""

import os
import shutil
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from backchannel.file_stores.base import FileMissingError, FileStore, StoredFile, UploadTarget


class Local(FileStore):
    def __init__(self, root: Path) -> None:
        self.root = root
        self.spool_directory = root / ".spool"

    async def put(self, key: str, source: Path | bytes, *, mime_type: str, disposition: str) -> None:
        p = self.root / key
        p.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(source, bytes):
            p.write_bytes(source)
        else:
            os.replace(source, p)

    async def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        p = self.root / key
        if not p.exists():
            raise FileMissingError(key)
        yield p.read_bytes()[start:end]

    async def size(self, key: str) -> int:
        try:
            return (self.root / key).stat().st_size
        except FileNotFoundError:
            raise FileMissingError(key) from None

    async def copy(self, source: str, key: str) -> None:
        try:
            (self.root / key).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.root / source, self.root / key)
        except FileNotFoundError:
            raise FileMissingError(key) from None

    async def delete(self, keys: Sequence[str]) -> None:
        for k in keys:
            (self.root / k).unlink(missing_ok=True)

    async def list(self, prefix: str = "") -> AsyncIterator[StoredFile]:
        for p in sorted(self.root.rglob("*")):
            k = p.relative_to(self.root).as_posix()
            if p.is_file() and k.startswith(prefix) and not k.startswith(".spool"):
                yield StoredFile(k, p.stat().st_size, datetime.fromtimestamp(p.stat().st_mtime, UTC))

    async def presign_put(
        self, key: str, *, mime_type: str, size: int, disposition: str, seconds: int
    ) -> UploadTarget:
        raise NotImplementedError

    async def presign_get(self, key: str, *, seconds: int, mime_type: str, disposition: str) -> str:
        raise NotImplementedError

    async def check(self) -> None: ...
    async def aclose(self) -> None: ...


def open_file_store(url: str, *, public_url: str | None = None, presign: bool = True) -> FileStore:
    return Local(Path(unquote(urlsplit(url).path)))
