"""Files that appear under their name only when they are whole."""

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
        wanted: Whether the file shall be there in the end.
    """

    file: BinaryIO
    wanted: bool = True


@contextmanager
def new_file(path: Path, *, force: bool = False) -> Generator[Draft]:
    """A file that only its owner can read, written beside its place and renamed when the block has ended well.

    Args:
        force: Whether to replace a file that is there. Otherwise it is left alone, even if it comes meanwhile.

    Raises:
        ConfigurationError: It cannot be written, or something is there. Nothing is left behind.
    """
    if os.path.lexists(path) and not (force and path.is_file()):
        raise _is_there(path)
    beside = path.with_name(f".{path.name[:100]}.{os.getpid()}.draft")
    try:
        descriptor = os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except OSError as error:
        raise _not_writable(path, error) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            draft = Draft(file)
            yield draft
            file.flush()
            os.fsync(file.fileno())
        if draft.wanted:
            _publish(beside, path, force=force)
    except OSError as error:
        raise _not_writable(path, error) from error
    finally:
        beside.unlink(missing_ok=True)


def _publish(beside: Path, path: Path, *, force: bool) -> None:
    if not force:
        try:
            # A link fails where the name exists, which renaming would not.
            path.hardlink_to(beside)
        except FileExistsError:
            raise _is_there(path) from None
        except OSError:
            # A file system without links.
            with suppress(FileNotFoundError):
                path.lstat()
                raise _is_there(path) from None
        else:
            return
    beside.replace(path)


def _is_there(path: Path) -> ConfigurationError:
    if path.is_file():
        return ConfigurationError(f"{path} is there already, and is left as it is. Name another file.")
    return ConfigurationError(f"{path} is there already, and is no file. Name another one.")


def _not_writable(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(f"{path} cannot be written ({error.strerror or type(error).__name__}).")
