"""Where the bytes of a file are in a file store.

No key has anything of the file's name, and none is used twice: each upload of a file writes keys of its own, and the
row names the one that was complete first. What another one wrote later can never take the place of what was checked.
"""

import secrets
from typing import Literal

from backchannel.stores.file_records import FileRecord

type Form = Literal["original", "preview", "model"]
"""The bytes as they were uploaded, a small picture of them, or what models get."""

UPLOADS = "uploads/"
"""Where browsers write. Nothing is read from there by anybody but the server."""

FILES = "files/"
"""Where only the server writes."""

_SUFFIXES: dict[Form, str] = {"original": "", "preview": ".preview", "model": ".model"}


def new_version() -> str:
    """Names one upload of a file."""
    return secrets.token_hex(8)


def key_of(record: FileRecord, form: Form = "original") -> str:
    """The key of a form of a stored file."""
    return version_key(record.id, record.version, form)


def version_key(file_id: str, version: str, form: Form = "original") -> str:
    """The key of a form of one upload of a file."""
    return f"{folder_of(file_id)}{version}{_SUFFIXES[form]}"


def folder_of(file_id: str) -> str:
    """The prefix of the keys of all uploads of a file."""
    # The end of an id is random: stores that divide keys by their beginning get evenly divided ones.
    return f"{FILES}{file_id[-2:]}/{file_id}/"


def upload_key(file_id: str) -> str:
    """The key at which a browser may write the bytes of an announced file."""
    return f"{UPLOADS}{file_id[-2:]}/{file_id}"


def file_id_in(key: str) -> str | None:
    """The file to which a key belongs; `None` if it is not one of ours."""
    parts = key.split("/")
    if len(parts) == 4 and key.startswith(FILES):
        return parts[2]
    if len(parts) == 3 and key.startswith(UPLOADS):
        return parts[2]
    return None
