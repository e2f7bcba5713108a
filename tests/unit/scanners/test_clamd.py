"""clamd: clean, infected and not scanned are three results, and only the first lets a file in."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backchannel.errors import ConfigurationError, InfectedFileError, UnavailableError
from backchannel.scanners.clamd import CHUNK_BYTES, Clamd
from unit.scanners.clamd_double import EICAR, ClamdDouble

pytestmark = pytest.mark.row("E2")

HARMLESS = b"harmless " * 50_000


@pytest.fixture
def double() -> ClamdDouble:
    return ClamdDouble()


@pytest.fixture
async def clamd(double: ClamdDouble) -> AsyncIterator[Clamd]:
    async with double.serving() as url:
        yield Clamd(url, 5)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return filled(tmp_path / "file", HARMLESS)


def filled(file: Path, data: bytes) -> Path:
    file.write_bytes(data)
    return file


async def test_a_clean_file_arrives_whole(clamd: Clamd, double: ClamdDouble, file: Path):
    await clamd.scan(file)
    assert double.received == [HARMLESS]
    assert len(HARMLESS) > 2 * CHUNK_BYTES


async def test_several_at_once(clamd: Clamd, double: ClamdDouble, file: Path):
    await asyncio.gather(*(clamd.scan(file) for _ in range(5)))
    assert double.connections == 5


async def test_an_infected_file_is_refused(clamd: Clamd, file: Path):
    filled(file, b"x" * CHUNK_BYTES + EICAR)
    with pytest.raises(InfectedFileError) as caught:
        await clamd.scan(file)
    assert "Eicar" not in caught.value.message
    assert str(file) not in caught.value.message


async def test_an_infected_name_that_looks_clean(clamd: Clamd, double: ClamdDouble, file: Path):
    double.reply = b"stream: Win.Test.OK FOUND\0"
    with pytest.raises(InfectedFileError):
        await clamd.scan(file)


@pytest.mark.parametrize("limit", [0, 1000, CHUNK_BYTES + 5], ids=["none", "first", "second"])
async def test_a_file_that_clamd_does_not_take_whole_was_not_scanned(
    clamd: Clamd, double: ClamdDouble, file: Path, limit: int
):
    """appwrite/appwrite#13600: the reply is behind a broken pipe, and the file was taken for clean."""
    filled(file, b"x" * 8_000_000)
    double.limit = limit
    with pytest.raises(UnavailableError):
        await clamd.scan(file)


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"stream: OK",
        b"stream:",
        b"\0",
        b"OK\0",
        b"stream: OKAY\0",
        b"<html>stream: OK</html>\0",
        b"x" * 9000,
    ],
    ids=range(8),
)
async def test_what_is_no_result_is_none(clamd: Clamd, double: ClamdDouble, file: Path, reply: bytes):
    double.reply = reply
    with pytest.raises(UnavailableError):
        await clamd.scan(file)


async def test_a_connection_that_ends_early_is_no_result(clamd: Clamd, double: ClamdDouble, file: Path):
    double.closes_after = 100
    with pytest.raises(UnavailableError):
        await clamd.scan(file)


async def test_a_silent_clamd_is_waited_for_and_left(double: ClamdDouble, file: Path):
    double.silent = True
    async with double.serving() as url:
        with pytest.raises(UnavailableError, match=r"0\.2 seconds"):
            await Clamd(url, 0.2).scan(file)


async def test_none_that_listens(tmp_path: Path, file: Path):
    for url in (f"unix://{tmp_path / 'none.sock'}", "tcp://127.0.0.1:1"):
        with pytest.raises(UnavailableError):
            await Clamd(url, 5).scan(file)
        with pytest.raises(UnavailableError):
            await Clamd(url, 5).check()


async def test_a_socket_and_the_check(double: ClamdDouble, file: Path, tmp_path: Path):
    async with double.serving(tmp_path / "clamd.sock") as url:
        await Clamd(url, 5).check()
        await Clamd(url, 5).scan(file)
        double.reply = b"HTTP/1.1 400 Bad Request\r\n\r\n\0"
        with pytest.raises(UnavailableError):
            await Clamd(url, 5).check()


@pytest.mark.parametrize("url", ["tcp://", "tcp://host:port", "unix://", "http://host:3310", "host:3310", ""])
def test_what_is_no_address(url: str):
    with pytest.raises(ConfigurationError, match="BACKCHANNEL_SCANNER_URL"):
        Clamd(url, 5)
