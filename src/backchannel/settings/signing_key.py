"""The generated key that signs cookies in development."""

import os
import secrets
from pathlib import Path

from backchannel.errors import ConfigurationError
from backchannel.settings.access import MIN_SECRET_BYTES


def load_or_create_key(path: Path) -> bytes:
    """The key in the file `path`, which is made on first use, readable by its owner only.

    Raises:
        ConfigurationError: The file is damaged.
        OSError: The file cannot be read or created.
    """
    if not path.exists():
        _create_key(path)
    key = path.read_bytes().strip()
    if len(key) < MIN_SECRET_BYTES:
        raise ConfigurationError(
            f"BACKCHANNEL_SECRET_KEY is not set and {path} is damaged: delete the file, or set the key."
        )
    return key


def _create_key(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.touch(mode=0o600)
    temporary.write_text(secrets.token_hex(32), encoding="ascii")
    try:
        # Linking fails if the path exists, so exactly one of several processes that start at once succeeds.
        path.hardlink_to(temporary)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
