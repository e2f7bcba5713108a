"""Opens an image: its size, then all of it, then what the model and people see of it.

Each format has its own class here, so that no other one of Pillow's is ever tried. Sizes are compared with the limits
before anything is decoded.
"""

import base64
import io
import struct
import warnings
from typing import Any, BinaryIO

from PIL import (
    GifImagePlugin,
    Image,
    ImageCms,
    ImageFile,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    WebPImagePlugin,
)

from .limits import RefusedError, Report, run
from .png_data import has_all_rows

MODEL_PIXELS = 1568
"""The longer side of what the model sees: models scale larger images down to about this themselves."""

MODEL_BYTES = 3_500_000
PREVIEW_PIXELS = 320
ANIMATION_FACTOR = 16
"""The frames of an animation together have at most so many times the pixels that one image may have."""

_CLASSES = {
    "png": PngImagePlugin.PngImageFile,
    "jpeg": JpegImagePlugin.JpegImageFile,
    "gif": GifImagePlugin.GifImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
}
_MAX_SIDE = 65_535


def open_image(file: BinaryIO, options: dict[str, Any], report: Report) -> None:
    """Report `size`, then `model`, then `preview`.

    Args:
        file: The image.
        options: `format`, one of `_CLASSES`, and `max_pixels`.
        report: Gets each report.

    Raises:
        RefusedError: `damaged` or `too_large`.
        Exception: Any; the file is damaged.
    """
    limit = int(options["max_pixels"])
    _prepare(limit)
    if options["format"] == "webp":
        # Opening one reserves memory for all of its pixels.
        _check_size(_size_of_webp(file), limit)
    try:
        image = _CLASSES[options["format"]](file)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise RefusedError("too_large") from None
    _check_size(image.size, limit)
    frames = _decode(image, limit)
    if options["format"] == "png" and not has_all_rows(file):
        raise RefusedError("damaged")
    orientation = _orientation(image)
    width, height = image.size
    if orientation >= 5:
        width, height = height, width
    report({"size": [width, height], "frames": frames})
    small = _reduced(image, MODEL_PIXELS)
    image.close()
    small = _upright(_in_usual_colours(small, image.info.get("icc_profile")), orientation)
    report({"model": _encoded(*_model_form(small, options["format"]))})
    small.thumbnail((PREVIEW_PIXELS, PREVIEW_PIXELS), Image.Resampling.LANCZOS)
    report({"preview": _encoded(*_preview(small))})


def _prepare(limit: int) -> None:
    Image.MAX_IMAGE_PIXELS = limit
    warnings.simplefilter("ignore")
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    # Texts of PNGs are not needed, and large ones would make the image fail.
    for name in ("chunk_tEXt", "chunk_zTXt", "chunk_iTXt"):
        setattr(PngImagePlugin.PngStream, name, _skip)
    setattr(PngImagePlugin.PngStream, "chunk_iCCP", _profile)  # noqa: B010 - a method is replaced


def _skip(stream: Any, pos: int, length: int) -> bytes:
    del pos
    return ImageFile._safe_read(stream.fp, length)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


_chunk_iccp = PngImagePlugin.PngStream.chunk_iCCP


def _profile(stream: Any, pos: int, length: int) -> bytes:
    try:
        return _chunk_iccp(stream, pos, length)
    except ValueError:
        # Too large when unpacked: the colours are taken for the usual ones.
        stream.fp.seek(pos)
        return _skip(stream, pos, length)


def _check_size(size: tuple[int, int], limit: int) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise RefusedError("damaged")
    if width * height > limit or max(size) > _MAX_SIDE:
        raise RefusedError("too_large")


def _size_of_webp(file: BinaryIO) -> tuple[int, int]:
    head = file.read(30)
    file.seek(0)
    if head[12:16] == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if head[12:16] == b"VP8L":
        bits = struct.unpack_from("<I", head, 21)[0]
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if head[12:16] == b"VP8 ":
        width, height = struct.unpack_from("<HH", head, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise RefusedError("damaged")


def _decode(image: Any, limit: int) -> int:
    """Decode the image, and of an animation so many frames as have the pixels of one image. Returns their number."""
    frames = int(getattr(image, "n_frames", 1))
    pixels = image.size[0] * image.size[1]
    if frames * pixels > limit * ANIMATION_FACTOR:
        raise RefusedError("too_large")
    if frames > 1:
        for number in range(1, min(frames, limit // pixels)):
            image.seek(number)
            image.load()
        image.seek(0)
    image.load()
    return frames


def _orientation(image: Any) -> int:
    try:
        found = image.getexif().get(0x0112, 1)
    except Exception:
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def _reduced(image: Any, side: int) -> Any:
    """A copy of at most so many pixels a side, with 8 bits a channel, in RGB, RGBA, L, LA or CMYK."""
    small = image
    factor = max(image.size) // (side * 2)
    if factor > 1 and image.mode in {"L", "RGB", "RGBA", "LA", "CMYK", "YCbCr"}:
        small = image.reduce(factor)
    small = _in_eight_bits(small)
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    small.info = {}
    return small


def _in_eight_bits(image: Any) -> Any:
    if image.mode.startswith(("I", "F")):
        # Only PNGs have such modes, with 16 bits.
        return image.convert("F").point(_to_eight_bits).convert("L")
    if image.mode in {"P", "PA"} or "transparency" in image.info:
        return image.convert("RGBA")
    if image.mode == "1":
        return image.convert("L")
    if image.mode in {"L", "LA", "RGB", "RGBA", "CMYK"}:
        return image.copy()
    return image.convert("RGB")


def _to_eight_bits(value: Any) -> Any:
    return value * (255 / 65_535) + 0


def _in_usual_colours(image: Any, profile: bytes | None) -> Any:
    """The image in sRGB (or grey), by its profile if that is usable."""
    if profile and image.mode in {"RGB", "RGBA", "CMYK", "L"}:
        try:
            return _converted(image, profile)
        except Exception:
            return image.convert("RGB") if image.mode == "CMYK" else image
    return image.convert("RGB") if image.mode == "CMYK" else image


def _converted(image: Any, profile: bytes) -> Any:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    target = _srgb()
    if image.mode == "RGBA":
        colours = ImageCms.profileToProfile(image.convert("RGB"), source, target, outputMode="RGB")
        assert colours is not None
        colours.putalpha(image.getchannel("A"))
        return colours
    return ImageCms.profileToProfile(image, source, target, outputMode="RGB")


def _srgb() -> Any:
    return ImageCms.createProfile("sRGB")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


def _upright(image: Any, orientation: int) -> Any:
    if orientation == 1:
        return image
    image.getexif()[0x0112] = orientation
    upright = ImageOps.exif_transpose(image)
    upright.info = {}
    return upright


def _model_form(image: Any, source: str) -> tuple[str, bytes]:
    if source != "jpeg":
        # Drawings and screenshots lose their sharpness as JPEG.
        encoded = _saved(image, "PNG")
        if len(encoded) <= MODEL_BYTES:
            return "image/png", encoded
    return "image/jpeg", _saved(_opaque(image), "JPEG", quality=88)


def _preview(image: Any) -> tuple[str, bytes]:
    if image.mode in {"RGBA", "LA"} and image.getchannel("A").getextrema()[0] < 255:
        return "image/png", _saved(image, "PNG")
    return "image/jpeg", _saved(_opaque(image), "JPEG", quality=80)


def _opaque(image: Any) -> Any:
    if image.mode in {"RGBA", "LA"}:
        ground = Image.new("RGBA", image.size, "white")
        ground.alpha_composite(image.convert("RGBA"))
        return ground.convert("RGB")
    return image if image.mode in {"L", "RGB"} else image.convert("RGB")


def _saved(image: Any, name: str, **options: Any) -> bytes:
    into = io.BytesIO()
    image.info = {}
    image.save(into, name, exif=b"", icc_profile=None, **options)
    return into.getvalue()


def _encoded(mime_type: str, content: bytes) -> list[str]:
    return [mime_type, base64.b64encode(content).decode()]


def main() -> None:
    """Open the image that is the standard input."""
    run(open_image)
