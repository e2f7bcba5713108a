"""What becomes of images, in this process: whole ones are shown upright and without metadata, others are refused before
they are decoded. `test_processes.py` shows what a process of its own adds."""

import base64
import io
import time
import zlib
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

import odd_files
from backchannel.file_checks.opening.images import MODEL_BYTES, open_image
from backchannel.file_checks.opening.limits import RefusedError
from backchannel.file_checks.opening.png_data import has_all_rows

pytestmark = pytest.mark.row("E2", "E3")

MAX_PIXELS = 50_000_000


@pytest.fixture(autouse=True)
def pillow_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the module sets for its process is undone."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    for name in ("chunk_tEXt", "chunk_zTXt", "chunk_iTXt", "chunk_iCCP"):
        monkeypatch.setattr(PngImagePlugin.PngStream, name, getattr(PngImagePlugin.PngStream, name))


def opened(content: bytes, image_format: str, max_pixels: int = MAX_PIXELS) -> dict[str, Any]:
    reports: dict[str, Any] = {}
    open_image(io.BytesIO(content), {"format": image_format, "max_pixels": max_pixels}, reports.update)
    for name in ("model", "preview"):
        mime_type, encoded = reports[name]
        shown = Image.open(io.BytesIO(base64.b64decode(encoded)))
        assert shown.get_format_mimetype() == mime_type
        shown.load()
        assert not set(shown.info) - {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
        reports[name] = shown
    assert len(base64.b64decode(encoded)) <= MODEL_BYTES
    assert max(reports["preview"].size) <= 320
    assert max(reports["model"].size) <= 1568
    return reports


def colours(picture: Image.Image) -> tuple[Any, Any]:
    """On the left and on the right, in RGB."""
    shown = picture.convert("RGB")
    middle = shown.height // 2
    return shown.getpixel((1, middle)), shown.getpixel((shown.width - 2, middle))


def is_near(colour: Any, other: tuple[int, ...], by: int = 12) -> bool:
    return all(abs(one - two) <= by for one, two in zip(colour, other, strict=True))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_kind_of_png(mode: str):
    found = opened(odd_files.saved(odd_files.image(mode), "PNG"), "png")
    assert found["size"] == [32, 16]
    assert found["model"].format == "PNG"


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (1568, 1568), (1569, 1569)])
@pytest.mark.parametrize("name", ["PNG", "JPEG", "GIF", "WEBP"])
def test_small_and_narrow_images(name: str, size: tuple[int, int]):
    assert opened(odd_files.saved(odd_files.image(size=size), name), name.lower())["size"] == list(size)


def test_sixteen_bits_are_scaled_and_not_cut():
    found = opened(odd_files.saved(odd_files.image("I;16", colour=32_768), "PNG"), "png")
    assert is_near(colours(found["model"])[0], (128, 128, 128), 1)


def test_transparency_is_kept_for_the_model_and_people():
    palette = odd_files.image("P", colour=0)
    palette.putpalette([255, 0, 0, 0, 255, 0])
    palette.paste(1, (16, 0, 32, 16))
    found = opened(odd_files.saved(palette, "PNG", transparency=0), "png")
    for shown in (found["model"], found["preview"]):
        assert shown.getpixel((2, 8))[3] == 0
        assert shown.getpixel((30, 8)) == (0, 255, 0, 255)
    grey = opened(odd_files.saved(odd_files.image("LA", colour=(200, 0)), "PNG"), "png")
    assert grey["preview"].mode == "LA"


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 0, 0), (255, 255, 255)])
def test_four_colours_become_three(colour: tuple[int, int, int]):
    four = odd_files.image("RGB", colour=colour).convert("CMYK")
    assert is_near(colours(opened(odd_files.saved(four, "JPEG"), "jpeg")["model"])[0], colour)


def test_colours_are_converted_by_the_profile():
    # In LAB and P3 the same numbers are other colours; a profile that fits shows that it is used, one that does not that
    # it does no harm.
    picture = odd_files.image(colour=(10, 200, 30))
    kept = opened(odd_files.saved(picture, "JPEG", icc_profile=odd_files.profile(), quality=95), "jpeg")
    assert is_near(colours(kept["model"])[0], (10, 200, 30))
    for profile in (odd_files.profile("LAB"), b"no profile", odd_files.profile()[:200]):
        found = opened(odd_files.saved(picture, "JPEG", icc_profile=profile, quality=95), "jpeg")
        assert is_near(colours(found["model"])[0], (10, 200, 30))
    swapped = (
        odd_files.profile().replace(b"rXYZ", b"tXYZ").replace(b"gXYZ", b"rXYZ").replace(b"tXYZ", b"gXYZ")
    )
    other = opened(odd_files.saved(picture, "JPEG", icc_profile=swapped, quality=95), "jpeg")
    red, green, _ = colours(other["model"])[0]
    assert red > green


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_upright_and_say_nothing_about_their_place(orientation: int):
    content = odd_files.photo(orientation)
    assert b"SECRET" in content
    reports: dict[str, Any] = {}
    open_image(io.BytesIO(content), {"format": "jpeg", "max_pixels": MAX_PIXELS}, reports.update)
    for name in ("model", "preview"):
        shown = base64.b64decode(reports[name][1])
        assert b"SECRET" not in shown
        assert b"Exif" not in shown
    assert reports["size"] == ([30, 60] if orientation >= 5 else [60, 30])
    picture = Image.open(io.BytesIO(content))
    upright = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
    expected = picture if orientation == 1 else picture.transpose(Image.Transpose(upright[orientation]))
    shown = Image.open(io.BytesIO(base64.b64decode(reports["model"][1])))
    assert shown.size == expected.size
    for place in ((3, 3), (shown.width - 4, shown.height - 4)):
        assert is_near(shown.getpixel(place), expected.getpixel(place), 30)


def test_damaged_metadata_does_not_matter():
    content = odd_files.photo(6)
    place = content.index(b"Exif\0\0") + 6
    for cut in range(8, 60, 7):
        broken = content[: place + cut] + b"\xff" * 8 + content[place + cut + 8 :]
        assert opened(broken, "jpeg")["model"]


@pytest.mark.parametrize("name", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_is_shown(name: str):
    found = opened(odd_files.animated(name, 4), name.lower())
    assert found["frames"] == 4
    assert is_near(colours(found["model"])[0], (0, 0, 200), 20)


def test_of_two_images_in_a_photo_the_first_is_shown():
    assert is_near(colours(opened(odd_files.mpo(), "jpeg")["model"])[0], (255, 0, 0))


@pytest.mark.parametrize("name", ["PNG", "JPEG", "GIF", "WEBP"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_images_that_are_cut(name: str, share: float):
    content = odd_files.saved(odd_files.noise(), name)
    with pytest.raises(Exception):  # noqa: B017, PT011 - the process reports any as damaged
        opened(content[: int(len(content) * share)], name.lower())


def test_a_damaged_later_frame_is_noticed():
    content = odd_files.animated("PNG", 4)
    place = content.rindex(b"fdAT") + 10
    with pytest.raises(Exception):  # noqa: B017, PT011
        opened(content[:place] + b"\xff\xff\xff" + content[place + 3 :], "png")


@pytest.mark.parametrize(("width", "height"), [(33, 16), (32, 17), (0, 16), (32, 0), (320, 160)])
def test_a_header_that_promises_other_rows_than_there_are(width: int, height: int):
    with pytest.raises(Exception):  # noqa: B017, PT011
        opened(odd_files.with_header(odd_files.saved(odd_files.noise((32, 16)), "PNG"), width, height), "png")


def test_all_rows_of_interlaced_images_are_counted():
    # One row of the seventh pass is missing: the image has 8 by 8 pixels of one byte, in passes of so many bytes.
    data = bytes(2 + 2 + 3 + 2 * 3 + 2 * 5 + 4 * 5 + 4 * 9)
    for missing, is_whole in ((0, True), (1, False)):
        header = odd_files.chunk(b"IHDR", bytes([0, 0, 0, 8, 0, 0, 0, 8, 8, 0, 0, 0, 1]))
        packed = odd_files.chunk(b"IDAT", zlib.compress(data[: len(data) - missing]))
        content = odd_files.PNG_MAGIC + header + packed + odd_files.chunk(b"IEND", b"")
        assert has_all_rows(io.BytesIO(content)) == is_whole
        if is_whole:
            assert opened(content, "png")["size"] == [8, 8]


@pytest.mark.parametrize(
    ("content", "image_format"),
    [
        (odd_files.png(30_000, 30_000, odd_files.rows(30_000, 1)), "png"),
        (odd_files.png(50_000_001, 1, b""), "png"),
        (odd_files.png(2**31 - 1, 2**31 - 1, b""), "png"),
        (odd_files.jpeg_of_size(65_500, 65_500), "jpeg"),
        (odd_files.gif_of_size(65_535, 65_535), "gif"),
        (odd_files.webp_of_size(16_383, 16_383), "webp"),
        # The frame of an animation may be larger than the canvas.
        (odd_files.gif_of_size(10, 10, (60_000, 60_000)), "gif"),
    ],
)
def test_too_many_pixels_are_refused_before_anything_is_decoded(content: bytes, image_format: str):
    began = time.process_time()
    with pytest.raises(
        (RefusedError, Image.DecompressionBombError, Image.DecompressionBombWarning)
    ) as refused:
        opened(content, image_format)
    assert str(refused.value) == "too_large"
    assert time.process_time() - began < 0.2


def test_the_limit_is_exact():
    content = odd_files.saved(odd_files.image(size=(100, 50)), "PNG")
    opened(content, "png", 5000)
    with pytest.raises(RefusedError, match="too_large"):
        opened(content, "png", 4999)


def test_the_frames_of_an_animation_count_together():
    content = odd_files.animated("GIF", 17, (20, 10))
    opened(content, "gif", 213)
    with pytest.raises(RefusedError, match="too_large"):
        opened(content, "gif", 212)


def test_texts_in_a_png_do_not_matter_however_large():
    bomb = zlib.compress(bytes(8 << 20), 9)
    texts = (
        odd_files.chunk(b"zTXt", b"Comment\0\0" + bomb)
        + odd_files.chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + bomb)
        + odd_files.chunk(b"tEXt", b"Comment\0" + bytes(8 << 20))
        + odd_files.chunk(b"iCCP", b"icc\0\0" + bomb)
    )
    assert opened(odd_files.png(32, 16, odd_files.rows(32, 16), before=texts), "png")["size"] == [32, 16]


def test_what_follows_the_end_of_an_image_does_not_matter():
    assert opened(odd_files.saved(odd_files.image(), "PNG") + b"<script>", "png")
    assert opened(odd_files.saved(odd_files.image(), "JPEG") + odd_files.zip_bomb(), "jpeg")


@pytest.mark.parametrize("image_format", ["png", "jpeg", "gif", "webp"])
def test_no_other_format_is_tried(image_format: str):
    contents = {
        name.lower(): odd_files.saved(odd_files.image(), name)
        for name in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF")
    }
    for name, content in contents.items():
        if name != image_format:
            with pytest.raises(Exception):  # noqa: B017, PT011
                opened(content, image_format)


def test_a_large_drawing_with_much_detail_is_sent_as_jpeg():
    found = opened(odd_files.saved(odd_files.noise((1568, 1568)), "PNG", compress_level=1), "png")
    assert found["model"].format == "JPEG"
