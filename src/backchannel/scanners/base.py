"""stub"""

from abc import ABC, abstractmethod
from pathlib import Path


class Scanner(ABC):
    @abstractmethod
    async def scan(self, path: Path) -> None: ...
    async def check(self) -> None: ...
    async def aclose(self) -> None: ...
