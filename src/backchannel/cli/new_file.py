"""Atomic creation of files: a file gets its name only after it was written completely."""

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from backchannel.errors import ConfigurationError


@dataclass(slots=True)
class Draft:
    """A file that is being written.

    Attributes:
        publish: Whether to keep the file; set it to `False` to discard it.
    """

    file: BinaryIO
    publish: bool = True


@contextmanager
def new_file(path: Path, *, force: bool = False) -> Generator[Draft]:
    """Write a file with mode 0600 in the same folder, and rename it when the block ends without an error.

    Args:
        force: Whether to replace an existing file. Otherwise it is never replaced, even if it appears meanwhile.

    Raises:
        ConfigurationError: The file cannot be written, or the path exists. No temporary file is left.
    """
    if os.path.lexists(path) and not (force and path.is_file()):
        raise _exists(path)
    temporary = path.with_name(f".{path.name[:100]}.{os.getpid()}.draft")
    try:
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except OSError as error:
        raise _not_writable(path, error) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            draft = Draft(file)
            yield draft
            file.flush()
            os.fsync(file.fileno())
        if draft.publish:
            _publish(temporary, path, force=force)
    except OSError as error:
        raise _not_writable(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _publish(temporary: Path, path: Path, *, force: bool) -> None:
    if not force:
        try:
            # Unlike renaming, linking fails if the path exists.
            path.hardlink_to(temporary)
        except FileExistsError:
            raise _exists(path) from None
        except OSError:
            # The file system does not support hard links.
            with suppress(FileNotFoundError):
                path.lstat()
                raise _exists(path) from None
        else:
            return
    temporary.replace(path)


def _exists(path: Path) -> ConfigurationError:
    if path.is_file():
        return ConfigurationError(f"{path} is there already, and is left as it is. Name another file.")
    return ConfigurationError(f"{path} is there already, and is no file. Name another one.")


def _not_writable(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(f"{path} cannot be written ({error.strerror or type(error).__name__}).")
