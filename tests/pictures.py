"""Pictures for tests."""

import io

from PIL import Image


def picture(
    width: int = 40, height: int = 30, *, kind: str = "PNG", color: tuple[int, int, int] = (200, 30, 30)
) -> bytes:
    """A picture of one color."""
    target = io.BytesIO()
    Image.new("RGB", (width, height), color).save(target, kind)
    return target.getvalue()


def size_of(data: bytes) -> tuple[int, int]:
    """The pixels of a picture."""
    with Image.open(io.BytesIO(data)) as image:
        return image.size
