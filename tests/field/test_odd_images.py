"""Images of public reports, and what of them people and models see. Each case names the report."""

import io
import struct
import time
import zlib
from pathlib import Path

import pytest
from PIL import Image

import odd_files
from backchannel.errors import BackchannelError, InvalidFileError, TooLargeError
from field.examined_files import Examine, examine_in, picture_of

pytestmark = pytest.mark.row("E2", "E3")

SCRIPT = b"<html><script>alert(1)</script></html>"


@pytest.fixture
def examine(tmp_path: Path) -> Examine:
    return examine_in(tmp_path)


# python-pillow/Pillow#2583, #7235, GeiserX/Telegram-Archive#449, mpetroff/pannellum#596: bombs, and images that are only large.
@pytest.mark.parametrize(
    ("content", "error"),
    [
        (odd_files.png(30_000, 30_000, odd_files.rows(30_000, 30)), TooLargeError),
        (odd_files.saved(Image.new("L", (12_000, 12_000)), "PNG"), TooLargeError),
        (
            odd_files.saved(Image.new("L", (10_000, 10_000)), "JPEG", progressive=True, quality=10),
            TooLargeError,
        ),
        (odd_files.jpeg_of_size(65_500, 65_500), TooLargeError),
        (odd_files.gif_of_size(60_000, 60_000), TooLargeError),
        (odd_files.png(0, 30_000, odd_files.rows(1, 1)), InvalidFileError),
        (odd_files.gif_of_size(0, 10), InvalidFileError),
    ],
)
async def test_bombs_are_refused_by_their_header(
    examine: Examine, content: bytes, error: type[BackchannelError]
):
    assert len(content) < 2_000_000
    with pytest.raises(error):
        await examine(content, "image")


# JimBobSquarePants/ImageProcessor#308, dotCMS/core#18304, JexPY/filemanager-fastapi#37: frames count, one by one and together.
async def test_long_animations(examine: Examine):
    began = time.monotonic()
    found = await examine(odd_files.gif_of_frames((640, 360), 300), "a.gif")
    assert (found.width, found.height, found.kind) == (640, 360, "image")
    assert time.monotonic() - began < 20
    with pytest.raises(TooLargeError):
        await examine(odd_files.gif_of_frames((8000, 6000), 20), "a.gif")


# python-pillow/Pillow#6342, #3831, #1347, #1805, #1366, #889, jam3scampbell/ProctorAI#7, Solseum/solseum-nft-generator#5: what
# is cut or damaged is found before the model refuses it.
@pytest.mark.parametrize("name", ["PNG", "JPEG", "GIF", "WEBP"])
async def test_images_that_are_cut(examine: Examine, name: str):
    content = odd_files.saved(odd_files.noise(), name)
    with pytest.raises(InvalidFileError) as refused:
        await examine(content[: len(content) * 6 // 10], f"a.{name.lower()}")
    assert refused.value.status == 422


async def test_a_png_with_damaged_data(examine: Examine):
    content = odd_files.saved(odd_files.noise(), "PNG")
    place = content.index(b"IDAT") + 4
    data = bytearray(content[place : place + struct.unpack(">I", content[place - 8 : place - 4])[0]])
    data[len(data) // 2] ^= 0xFF
    damaged = (
        odd_files.PNG_MAGIC
        + content[8:33]
        + odd_files.chunk(b"IDAT", bytes(data))
        + odd_files.chunk(b"IEND", b"")
    )
    for each in (damaged, odd_files.PNG_MAGIC + SCRIPT, odd_files.PNG_MAGIC):
        with pytest.raises(InvalidFileError):
            await examine(each, "a.png", "image/png")


# python-pillow/Pillow#2445, #8363: large profiles and texts, as Pillow itself writes them.
async def test_a_png_with_two_megabytes_of_text_and_profile(examine: Examine):
    large = zlib.compress(bytes(2 << 20))
    before = odd_files.chunk(b"iCCP", b"icc\0\0" + large) + odd_files.chunk(b"zTXt", b"Comment\0\0" + large)
    found = await examine(odd_files.png(230, 230, odd_files.rows(230, 230), before=before), "a.png")
    assert (found.width, found.preview_type) == (230, "image/jpeg")
    assert len(found.model_form or b"") < 10_000


# open-edge-platform/geti#5888, #5447, girder/girder#1290, openfoodfacts/open-prices#1198, thumbor/thumbor#234,
# un1t/django-resized#40, silentsokolov/flask-thumbnails#11: kinds of colours that cannot be written as JPEG.
@pytest.mark.parametrize(
    ("mode", "name"),
    [
        ("I;16", "PNG"),
        ("LA", "PNG"),
        ("P", "PNG"),
        ("P", "GIF"),
        ("RGBA", "PNG"),
        ("RGBA", "WEBP"),
        ("1", "PNG"),
        ("CMYK", "JPEG"),
    ],
)
async def test_every_kind_of_colours_gets_a_preview(examine: Examine, mode: str, name: str):
    found = await examine(odd_files.saved(odd_files.image(mode, (700, 350)), name), "image")
    assert found.preview is not None
    assert Image.open(io.BytesIO(found.preview)).size == (320, 160)


# lovell/sharp#1784, thumbor/thumbor#550, tripviss/image-resizer#42, akvo/akvo-flow-mobile#113, poziomki-app/poziomki#204:
# photos lie on their side, or say where they were taken. lucyparsons/OpenOversight#1098: so do further images of MPO.
async def test_a_photo_is_upright_and_says_nothing_else(examine: Examine):
    found = await examine(odd_files.photo(6), "a.jpg", "image/jpeg")
    assert (found.width, found.height) == (30, 60)
    for shown in (found.preview, found.model_form):
        assert shown is not None
        assert b"SECRET" not in shown
        picture = Image.open(io.BytesIO(shown))
        assert picture.size == (30, 60)
        assert not picture.getexif()
        red, _, blue = picture.getpixel((15, 5))  # type: ignore[misc]
        assert red > 200 > 50 > blue


# anthropics/claude-code#29259: images of more than 2000 pixels are refused later, when there are many.
async def test_large_images_are_made_smaller_for_the_model(examine: Examine):
    found = await examine(odd_files.saved(Image.new("RGB", (4000, 3000), "teal"), "PNG"), "a.png")
    assert (found.width, found.height, picture_of(found).size) == (4000, 3000, (1568, 1176))


# thumbor/thumbor#1889, misskey-dev/misskey#6625, StarCitizenTools/mediawiki-extensions-Thumbro#69: the preview stands still.
@pytest.mark.parametrize("name", ["GIF", "WEBP", "PNG"])
async def test_an_animation_stands_still_for_the_model(examine: Examine, name: str):
    found = await examine(odd_files.animated(name), f"a.{name.lower()}")
    assert getattr(picture_of(found), "n_frames", 1) == 1
