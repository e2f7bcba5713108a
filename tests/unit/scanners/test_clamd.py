"""clamd: clean, infected and not scanned are three results, and only the first lets a file pass. Cases of the field name
their reports."""

import asyncio
import re
import struct
from pathlib import Path

import pytest

from backchannel.errors import ConfigurationError, InfectedFileError, UnavailableError
from backchannel.scanners.clamd import CHUNK_BYTES, Clamd
from clamd_double import EICAR, FakeClamd, fake_clamd

pytestmark = pytest.mark.row("E2")

SECONDS = 20.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "secret-place"


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


async def scanned(path: Path, content: bytes, *, seconds: float = SECONDS, **settings: object) -> FakeClamd:
    write(path, content)
    async with fake_clamd(**settings) as clamd:
        try:
            await Clamd(clamd.url, seconds).scan(path)
        finally:
            assert clamd.violations == []
        return clamd


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, 3 * CHUNK_BYTES + 1])
async def test_a_clean_file_passes_and_was_sent_completely(path: Path, size: int):
    content = bytes(size)
    clamd = await scanned(path, content)
    assert clamd.received == [content]


async def test_an_infected_file_is_refused_and_the_error_does_not_name_it(path: Path):
    with pytest.raises(InfectedFileError) as refused:
        await scanned(path, bytes(CHUNK_BYTES) + EICAR)
    assert str(path) not in str(refused.value)
    assert "secret-place" not in str(refused.value)


# graingert/python-clamd#24, #31, kylefarris/clamscan#102: clamd answers and closes in the middle of the file, and the
# client gets a broken pipe before the answer, or the other way round.
@pytest.mark.parametrize("behaviour", ["", "stop_reading"])
@pytest.mark.parametrize("size", [100_000, 8 << 20])
async def test_a_file_over_the_limit_is_not_scanned(path: Path, behaviour: str, size: int):
    with pytest.raises(UnavailableError, match="larger than the virus scanner accepts") as refused:
        await scanned(path, bytes(size), stream_max_length=50_000, behaviour=behaviour)
    assert (refused.value.allow_retry, refused.value.retry_after) == (False, None)


@pytest.mark.parametrize(
    "reply",
    [
        b"",  # nextcloud/files_antivirus#261: an empty answer
        b"\0",
        b"stream: OK",  # not ended: it could go on
        b"stream: OKAY\0",
        b"stream: OK\0stream: Eicar FOUND\0",
        b"OK\0",
        b"stream: Can't allocate memory ERROR\0",
        b"UNKNOWN COMMAND\0",
        # mko-x/docker-clamav#131
        b"requested 65536, max: 0\0",
        b"\xff\xfe\0",
        b"x" * 100_000,
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
)
async def test_any_other_answer_is_not_clean(path: Path, reply: bytes):
    with pytest.raises(UnavailableError, match="could not be scanned") as refused:
        await scanned(path, b"text", reply=reply)
    assert refused.value.allow_retry
    assert refused.value.retry_after


# artefactual/archivematica#753, #875: files that are skipped for their size are a third result.
@pytest.mark.parametrize("name", ["Limits.Exceeded.MaxFileSize", "Encrypted.Zip"])
async def test_what_was_not_looked_into_is_not_called_infected(path: Path, name: str):
    with pytest.raises(UnavailableError, match="look into all of it"):
        await scanned(path, b"text", reply=f"stream: Heuristics.{name} FOUND\0".encode())
    async with fake_clamd() as clamd:
        with pytest.raises(UnavailableError, match="larger"):
            await Clamd(clamd.url, SECONDS, max_bytes=3).scan(path)
        await Clamd(clamd.url, SECONDS, max_bytes=4).scan(path)


@pytest.mark.parametrize("behaviour", ["close", "reset"])
async def test_a_connection_that_ends_early_is_not_clean(path: Path, behaviour: str):
    with pytest.raises(UnavailableError, match="without an answer"):
        await scanned(path, bytes(4 << 20), behaviour=behaviour)


async def test_an_answer_before_the_end_of_the_file_is_not_about_the_file(path: Path):
    with pytest.raises(UnavailableError, match="could not be scanned"):
        await scanned(path, bytes(64 << 20), behaviour="early_ok")


async def test_an_answer_in_two_parts_is_read(path: Path):
    await scanned(path, b"text", behaviour="halves")


# mattermost/mattermost#22117: "processing" for ever. nextcloud/files_antivirus#594: stopped, hanging, empty and infected
# are different outcomes.
async def test_a_scanner_that_does_not_answer_is_waited_for_so_long(path: Path):
    with pytest.raises(UnavailableError, match=r"within 0\.2 seconds"):
        await scanned(path, b"text", behaviour="slow", seconds=0.2)


# nextcloud/files_antivirus#396, owncloud/files_antivirus#558: a stopped scanner lets nothing pass, and says so.
@pytest.mark.parametrize(
    "url", ["tcp://127.0.0.1:1", "unix:///nowhere/clamd.sock", "tcp://nowhere.invalid:3310"]
)
async def test_a_scanner_that_is_not_there_lets_nothing_pass(path: Path, url: str):
    write(path, b"text")
    with pytest.raises(UnavailableError, match="cannot be reached"):
        await Clamd(url, SECONDS).scan(path)
    with pytest.raises(UnavailableError, match="cannot be reached"):
        await Clamd(url, SECONDS).check()


async def test_a_cancelled_scan_closes_its_connection(path: Path):
    write(path, b"text")
    before = asyncio.all_tasks()
    async with fake_clamd(behaviour="slow") as clamd:
        scan = asyncio.create_task(Clamd(clamd.url, SECONDS).scan(path))
        async with asyncio.timeout(SECONDS):
            await clamd.has_received.wait()
        scan.cancel()
        with pytest.raises(asyncio.CancelledError):
            await scan
    assert asyncio.all_tasks() == before


async def test_a_unix_socket(path: Path, tmp_path: Path):
    write(path, EICAR)
    clamd = FakeClamd()
    place = tmp_path / "c d.sock"
    server = await asyncio.start_unix_server(clamd.serve, place)
    try:
        with pytest.raises(InfectedFileError):
            await Clamd("unix://" + str(place).replace(" ", "%20"), SECONDS).scan(path)
    finally:
        server.close()
        await server.wait_closed()


# Cisco-Talos/clamav#942: one connection a file, lengths in network byte order; the double would refuse other ones.
async def test_files_at_the_same_time(path: Path, tmp_path: Path):
    paths = [tmp_path / str(number) for number in range(8)]
    for number, each in enumerate(paths):
        each.write_bytes(struct.pack("<I", number) * 100_000)
    async with fake_clamd() as clamd:
        scanner = Clamd(clamd.url, SECONDS)
        await asyncio.gather(*map(scanner.scan, paths))
        assert sorted(clamd.received) == sorted(each.read_bytes() for each in paths)


# UKHomeOffice/docker-clamav#25: a scanner that runs and finds nothing.
async def test_the_check_shows_that_the_test_file_is_found():
    async with fake_clamd() as clamd:
        await Clamd(clamd.url, SECONDS).check()
        assert clamd.received == [EICAR]
    async with fake_clamd(behaviour="blind") as clamd:
        with pytest.raises(UnavailableError, match="EICAR"):
            await Clamd(clamd.url, SECONDS).check()


@pytest.mark.parametrize(
    "url", ["", "clamd:3310", "http://x", "tcp://", "tcp://x/y", "unix://", "tcp://x:99999", "unix://h/p"]
)
def test_other_addresses_are_refused(url: str):
    with pytest.raises(ConfigurationError, match=re.escape(f'"{url}"')):
        Clamd(url)
