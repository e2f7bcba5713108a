"""The contract of virus scanners."""

from abc import ABC, abstractmethod
from pathlib import Path


class Scanner(ABC):
    """Looks for malicious software in files.

    Every method raises `UnavailableError` if the scanner does not answer, or not in time.
    """

    @abstractmethod
    async def scan(self, path: Path) -> None:
        """Return if nothing was found in a file. May be called for several files at the same time.

        Raises:
            InfectedFileError: Something was found.
            UnavailableError: It is not known whether there is something: the file was not scanned, or not whole.
        """

    @abstractmethod
    async def check(self) -> None:
        """Return if the scanner answers."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close connections."""
