"""What `backchannel doctor` checks of this machine."""

import os
import shutil
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from backchannel.cli.findings import Finding
from backchannel.errors import ConfigurationError
from backchannel.hosting.network_disks import network_disk
from backchannel.hosting.open_files import OTHER_FILES, raise_open_files
from backchannel.settings import DATA_FOLDER, Settings
from backchannel.wiring import Target

_MIB = 1024 * 1024
LITTLE_SPACE = 1024 * _MIB
NO_SPACE = 100 * _MIB
"""Free bytes below which there is a warning, and a problem."""

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


async def probe_files(settings: Settings, _target: Target | None) -> AsyncIterator[Finding]:
    """Who may read the files with conversations and keys, and how much space is left for them."""
    file = settings.sqlite_file
    if settings.secret_key is None and (key := DATA_FOLDER / "secret_key").exists():
        yield _private("secret key", key, "problem")
        try:
            settings.signing_key()
        except ConfigurationError as error:
            yield Finding("secret key", "problem", error.message)
    if file is not None and (kind := network_disk(file)) is not None:
        yield Finding(
            "database file",
            "warning",
            f"{file} is on a network disk ({kind}): only one process may use it, and replicas need PostgreSQL",
        )
    if file is not None and file.exists():
        yield _private("database file", file, "warning")
        if not (os.access(file, os.W_OK) and os.access(file.parent, os.W_OK)):
            # SQLite makes files beside it.
            yield Finding("database file", "problem", f"{file} or its folder is not writable for this user")
    for finding in _space((file or DATA_FOLDER).parent):
        yield finding


async def probe_machine(settings: Settings, _target: Target | None) -> AsyncIterator[Finding]:
    """How many files a process may open."""
    wanted = settings.max_connections + OTHER_FILES
    files = raise_open_files(wanted)
    if files is None or files >= wanted:
        yield Finding("open files", "ok", f"{files or 'any number of'} for each process")
        return
    yield Finding(
        "open files",
        "warning",
        f"a process may open {files}, and BACKCHANNEL_MAX_CONNECTIONS needs {wanted}: it is lowered; see `ulimit -n`",
    )


def _private(check: str, file: Path, state: str) -> Finding:
    mode = stat.S_IMODE(file.stat().st_mode)
    if sys.platform == "win32" or not mode & _OTHERS:
        return Finding(check, "ok", f"{file} is for its owner only")
    return Finding(
        check,
        "problem" if state == "problem" else "warning",
        f"{file} is open to other users of this machine (mode {mode:03o}): chmod 600",
    )


def _space(folder: Path) -> Iterator[Finding]:
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    message = f"{free // _MIB} MiB free in {folder.resolve()}"
    if free < NO_SPACE:
        yield Finding("disk", "problem", message)
    elif free < LITTLE_SPACE:
        yield Finding("disk", "warning", message)
    else:
        yield Finding("disk", "ok", message)
