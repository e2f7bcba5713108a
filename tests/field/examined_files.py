"""Examines files of public reports."""

import asyncio
import io
from collections.abc import Awaitable, Callable
from pathlib import Path

from PIL import Image

from backchannel.file_checks.examine import Examined, Examiner
from backchannel.file_checks.types import DEFAULT_TYPES, AllowedTypes

type Examine = Callable[..., Awaitable[Examined]]


def examine_in(folder: Path) -> Examine:
    """A function that examines content under a name and a declared type."""
    numbers = iter(range(10_000))

    async def examined(
        content: bytes, name: str, mime_type: str = "", *, types: str = DEFAULT_TYPES, seconds: float = 20
    ) -> Examined:
        path = folder / str(next(numbers))
        await asyncio.to_thread(path.write_bytes, content)
        examiner = Examiner(
            AllowedTypes.parse(types), max_pixels=50_000_000, max_text_chars=2000, seconds=seconds
        )
        return await examiner.examine(path, name=name, mime_type=mime_type)

    return examined


def text_of(found: Examined) -> str:
    assert found.model_type == "text/plain"
    assert found.model_form is not None
    return found.model_form.decode()


def picture_of(found: Examined) -> Image.Image:
    assert found.model_form is not None
    return Image.open(io.BytesIO(found.model_form))
