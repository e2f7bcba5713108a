"""Files by the settings."""

import os
import tempfile
from datetime import timedelta
from pathlib import Path

from backchannel.file_checks.examine import Examiner
from backchannel.file_checks.types import AllowedTypes
from backchannel.file_stores.base import FileStore
from backchannel.file_stores.locations import open_file_store
from backchannel.files.attachments import FileAttachments
from backchannel.files.links import FileLinks
from backchannel.files.service import FileLimits, Files
from backchannel.files.spool import Spool
from backchannel.files.sweeper import FileSweeper
from backchannel.scanners.base import Scanner
from backchannel.scanners.clamd import Clamd
from backchannel.settings import DATA_FOLDER, Settings
from backchannel.settings.files import DEFAULT_FOLDER
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.files import SqlFiles


def make_attachments(
    settings: Settings, database: Database, own_scanner: Scanner | None = None
) -> FileAttachments | None:
    """The files that people attach; `None` if the settings permit none.

    Args:
        own_scanner: The application's.

    Raises:
        ConfigurationError: A setting is wrong.
    """
    if not settings.max_upload_bytes:
        return None
    store = file_store(settings)
    types = AllowedTypes.parse(settings.upload_types)
    files = Files(
        SqlFiles(database),
        store,
        Examiner(types, max_pixels=settings.max_image_pixels, max_text_chars=settings.max_file_text_chars),
        own_scanner or scanner(settings),
        Spool(store.spool_directory or _temporary_folder(), settings.max_upload_bytes),
        FileLimits(
            max_bytes=settings.max_upload_bytes,
            quota=settings.file_quota_bytes or None,
            types=types,
            unsent=timedelta(hours=settings.unsent_file_hours),
            upload_seconds=settings.upload_link_seconds,
        ),
    )
    links = FileLinks(
        settings.signing_key(),
        seconds=settings.file_link_seconds,
        upload_seconds=settings.upload_link_seconds,
    )
    return FileAttachments(files, links)


def make_sweeper(attachments: FileAttachments, maintenance: Database) -> FileSweeper:
    """The housekeeping of files, with database connections of background tasks."""
    return FileSweeper(SqlFiles(maintenance), attachments.files.store, attachments.files.spool)


def file_store(settings: Settings) -> FileStore:
    """The file store of the settings. Nothing is connected before it is used.

    Raises:
        ConfigurationError: A setting is wrong.
    """
    url = settings.files_url or default_folder().absolute().as_uri()
    return open_file_store(url, public_url=settings.files_public_url, presign=settings.files_presigned)


def existing_file_store(settings: Settings) -> FileStore | None:
    """The same for commands, which make no folder: `None` if the default one does not exist, and so has no files.

    Raises:
        ConfigurationError: A setting is wrong.
    """
    if settings.files_url is None and not default_folder().exists():
        return None
    return file_store(settings)


def default_folder() -> Path:
    """Where files are if no other place is set."""
    return DATA_FOLDER / DEFAULT_FOLDER


def scanner(settings: Settings) -> Scanner | None:
    """The virus scanner of the settings, if any."""
    if settings.scanner_url is None:
        return None
    return Clamd(settings.scanner_url, settings.scanner_timeout_seconds)


def _temporary_folder() -> Path:
    return Path(tempfile.gettempdir()) / f"backchannel-uploads-{os.geteuid()}"
