"""The contract of scanners."""

from abc import ABC, abstractmethod
from pathlib import Path


class Scanner(ABC):
    """Looks for malicious software in files. Several files may be scanned at the same time."""

    @abstractmethod
    async def scan(self, path: Path) -> None:
        """Return if the file was scanned completely and nothing was found. Bounded in time.

        Args:
            path: The file. It is only read; the scanner's process need not be able to.

        Raises:
            InfectedFileError: Something was found. The error says neither where the file is nor what it is called.
            UnavailableError: The file was not scanned, or not completely: the scanner cannot be reached, is too slow,
                refuses the file's size, or its answer is not understood. No such file counts as clean. The error's
                `allow_retry` is false if the same file would be refused again.
        """

    @abstractmethod
    async def check(self) -> None:
        """Return if the scanner works: it answers, and finds what it must find. Bounded in time.

        Raises:
            UnavailableError: It does not, and the message says why.
        """

    async def aclose(self) -> None:  # noqa: B027 - most have nothing to close
        """Close connections. Idempotent."""
