"""stub"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class StoredFile:
    key: str
    size: int
    modified: datetime


@dataclass(frozen=True, slots=True)
class UploadTarget:
    url: str
    method: Literal["PUT"]
    headers: Mapping[str, str]


class FileMissingError(Exception):
    pass


class FileStore(ABC):
    presigns: bool = False
    origins: Sequence[str] = ()
    spool_directory: Path | None = None

    @abstractmethod
    async def put(self, key: str, source: Path | bytes, *, mime_type: str, disposition: str) -> None: ...
    @abstractmethod
    def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]: ...
    @abstractmethod
    async def size(self, key: str) -> int: ...
    @abstractmethod
    async def copy(self, source: str, key: str) -> None: ...
    @abstractmethod
    async def delete(self, keys: Sequence[str]) -> None: ...
    @abstractmethod
    def list(self, prefix: str = "") -> AsyncIterator[StoredFile]: ...
    @abstractmethod
    async def presign_put(
        self, key: str, *, mime_type: str, size: int, disposition: str, seconds: int
    ) -> UploadTarget: ...
    @abstractmethod
    async def presign_get(self, key: str, *, seconds: int, mime_type: str, disposition: str) -> str: ...
    @abstractmethod
    async def check(self) -> None: ...
    @abstractmethod
    async def aclose(self) -> None: ...
