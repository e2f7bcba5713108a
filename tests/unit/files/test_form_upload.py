"""Forms with a file, as browsers and other clients send them, and as nobody should."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backchannel.errors import BackchannelError, InvalidInputError, InvalidRequestError, TooLargeError
from backchannel.files.form_upload import MAX_OTHER_BYTES, FormUpload
from backchannel.files.spool import Spool

pytestmark = pytest.mark.row("E1")

TYPE = "multipart/form-data; boundary=x"
DATA = b"line one\r\n--y not the boundary\r\n--"


def part(disposition: str, data: bytes = DATA, *more: str) -> bytes:
    headers = "\r\n".join([f"Content-Disposition: {disposition}", *more])
    return b"--x\r\n" + headers.encode() + b"\r\n\r\n" + data + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--x--\r\n"


async def read(
    body: bytes, tmp_path: Path, content_type: str = TYPE, *, size: int = 7, most: int = 10_000
) -> tuple[FormUpload, bytes]:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), size):
            yield body[start : start + size]

    async with Spool(tmp_path, most).open() as spooled:
        upload = FormUpload(content_type, spooled, most)
        await upload.read(chunks())
        return upload, spooled.path.read_bytes()


def left_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


@pytest.mark.parametrize("size", [1, 3, 10_000])
async def test_the_file_is_found_among_other_fields_in_pieces_of_any_size(size: int, tmp_path: Path):
    body = form(
        part('form-data; name="note"', b"hello"),
        part('form-data; name="file"; filename="a b.txt"', DATA, "Content-Type: text/plain; charset=utf-8"),
        part('form-data; name="other"; filename="c.txt"', b"not this"),
    )
    upload, data = await read(body, tmp_path, size=size)
    assert (upload.name, upload.mime_type, data) == ("a b.txt", "text/plain; charset=utf-8", DATA)


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('form-data; name="file"; filename="Grüße 文件 😀.txt"', "Grüße 文件 😀.txt"),
        ('form-data; name="file"; filename="a%22b%0D%0Ac.txt"', 'a"b\r\nc.txt'),
        ('form-data; name="file"; filename="50%25.txt"', "50%25.txt"),
        ("form-data; name=file; filename=bare.txt", "bare.txt"),
        ('form-data; name="file"; filename="semi;colon.txt"', "semi;colon.txt"),
        # psf/requests#4652: no plain name at all.
        ("form-data; name=\"file\"; filename*=utf-8''na%C3%AFve%20file.txt", "naïve file.txt"),
        ("form-data; name=\"file\"; filename*=nonsense''%FF.txt", "ÿ.txt"),
        # rack/rack#2398: the plain name counts.
        ('form-data; name="file"; filename="plain.txt"; filename*=utf-8\'\'other.txt', "plain.txt"),
        ('form-data; name="file"', None),
        ('form-data; name="file"; filename=""', None),
        ('form-data; name="file"; filename="' + "n" * 10_000 + '.txt"', "n" * 10_000 + ".txt"),
    ],
)
async def test_names_as_they_are_sent(disposition: str, name: str | None, tmp_path: Path):
    upload, data = await read(form(part(disposition)), tmp_path)
    assert (upload.name, data) == (name, DATA)


@pytest.mark.parametrize(
    ("body", "content_type", "error"),
    [
        (form(part('form-data; name="file"; filename="a"'))[:-9], TYPE, InvalidRequestError),
        (b"", TYPE, InvalidRequestError),
        (b"no boundary at all", TYPE, InvalidRequestError),
        (form(part('form-data; name="other"')), TYPE, InvalidInputError),
        (form(*[part('form-data; name="file"; filename="a"')] * 2), TYPE, InvalidInputError),
        (form(part('attachment; name="file"')), TYPE, InvalidRequestError),
        (form(b"--x\r\nX: y\r\n\r\ndata\r\n"), TYPE, InvalidRequestError),
        (form(part("form-data; name=file", DATA, *["X: y"] * 50)), TYPE, InvalidRequestError),
        (form(part('form-data; name="file"; filename="' + "n" * 70_000 + '"')), TYPE, InvalidRequestError),
        # Kludex/starlette#1588, Kludex/starlette#3492.
        (form(), "multipart/form-data", InvalidRequestError),
        (form(), "multipart/form-data; boundary=", InvalidRequestError),
        (form(), "multipart/form-data; boundary=" + "b" * 71, InvalidRequestError),
        (form(), "multipart/form-data; boundary=ü", InvalidRequestError),
        (form(), "application/json", BackchannelError),
        (form(), "", BackchannelError),
    ],
    ids=range(15),
)
async def test_what_is_no_upload_is_refused(
    body: bytes, content_type: str, error: type[BackchannelError], tmp_path: Path
):
    with pytest.raises(error) as caught:
        await read(body, tmp_path, content_type, size=1000)
    assert 400 <= caught.value.status < 500
    assert left_in(tmp_path) == []


async def test_what_is_too_large_is_refused_while_it_is_read(tmp_path: Path):
    with pytest.raises(TooLargeError):
        await read(form(part('form-data; name="file"; filename="a"', b"x" * 101)), tmp_path, most=100)
    with pytest.raises(TooLargeError):
        await read(form(part('form-data; name="pad"', b"x" * (MAX_OTHER_BYTES + 200))), tmp_path, most=100)
    assert left_in(tmp_path) == []
