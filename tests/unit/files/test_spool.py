"""Uploads in progress: a temporary file of this user alone, which is gone at the end, whatever happens."""

import asyncio
import errno
import os
import stat
import time
from pathlib import Path

import pytest

from backchannel.errors import TooLargeError, UnavailableError
from backchannel.files.spool import LEFT_OVER_SECONDS, Spool, SpooledFile

pytestmark = pytest.mark.row("E1", "E2")


def left_in(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.exists() else []


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def content(path: Path) -> bytes:
    return path.read_bytes()


async def test_what_is_written_is_there_for_this_user_alone_and_then_gone(tmp_path: Path):
    folder = tmp_path / "a" / "spool"
    async with Spool(folder, 5_000_000).open() as spooled:
        for _ in range(30):
            await spooled.write(b"x" * 100_000)
        await spooled.flush()
        assert spooled.size == 3_000_000
        assert content(spooled.path) == b"x" * 3_000_000
        assert (mode(spooled.path), mode(folder)) == (0o600, 0o700)
    assert left_in(folder) == []


async def test_a_file_that_was_moved_stays(tmp_path: Path):
    async with Spool(tmp_path / "spool", 10).open() as spooled:
        await spooled.write(b"hello")
        await spooled.flush()
        spooled.path.rename(tmp_path / "kept")
    assert content(tmp_path / "kept") == b"hello"


async def _fill(spool: Spool, data: bytes, error: BaseException | None = None) -> None:
    async with spool.open() as spooled:
        await spooled.write(data)
        await spooled.flush()
        if error is not None:
            raise error


async def test_nothing_is_left_of_what_fails(tmp_path: Path):
    spool = Spool(tmp_path / "spool", 10)
    with pytest.raises(TooLargeError) as caught:
        await _fill(spool, b"x" * 11)
    assert caught.value.details == {"max_bytes": 10}
    for error in (RuntimeError(), asyncio.CancelledError()):
        with pytest.raises(type(error)):
            await _fill(spool, b"x", error)
    assert left_in(tmp_path / "spool") == []


async def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(_self: SpooledFile, _chunks: list[bytes]) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(SpooledFile, "_write", full)
    with pytest.raises(UnavailableError) as caught:
        await _fill(Spool(tmp_path / "spool", 10), b"x")
    assert caught.value.retry_after == 60
    assert left_in(tmp_path / "spool") == []


@pytest.mark.parametrize("how", ["others may write", "somebody else's", "a link", "a file"])
async def test_a_folder_of_somebody_else_is_not_used(how: str, tmp_path: Path):
    folder = tmp_path / "spool"
    _prepare(folder, how)
    with pytest.raises(UnavailableError):
        await _fill(Spool(folder, 10), b"x")


def _prepare(folder: Path, how: str) -> None:
    target = folder.with_name("target")
    target.mkdir(mode=0o700)
    match how:
        case "others may write":
            folder.mkdir()
            folder.chmod(0o777)
        case "somebody else's":
            if os.geteuid() != 0:
                pytest.skip("Only root can give a folder away.")
            folder.mkdir(mode=0o700)
            os.chown(folder, 12_345, 12_345)
        case "a link":
            folder.symlink_to(target)
        case _:
            folder.touch()


async def test_what_a_dead_process_left_goes_after_a_day(tmp_path: Path):
    spool = Spool(tmp_path, 10)
    old, young, foreign = (tmp_path / name for name in ("upload-1.part", "upload-2.part", "other.txt"))
    _age(old, young, foreign)
    assert await spool.delete_left_over() == 1
    assert sorted(left_in(tmp_path)) == sorted([young, foreign])


def _age(old: Path, *others: Path) -> None:
    for path in (old, *others):
        path.touch()
    then = time.time() - LEFT_OVER_SECONDS - 60
    for path in (old, others[-1]):
        os.utime(path, (then, then))
