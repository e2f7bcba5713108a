"""stub"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from backchannel.file_checks.types import AllowedTypes


@dataclass(frozen=True, slots=True)
class Examined:
    mime_type: str
    kind: Literal["image", "pdf", "text", "binary"]
    size: int
    width: int | None = None
    height: int | None = None
    preview: bytes | None = None
    preview_type: str | None = None
    model_form: bytes | None = None
    model_type: str | None = None
    pages: int | None = None


class Examiner:
    def __init__(
        self, allowed: AllowedTypes, *, max_pixels: int, max_text_chars: int, seconds: float = 20
    ) -> None: ...
    async def examine(self, path: Path, *, name: str, mime_type: str) -> Examined:
        d = path.read_bytes()
        if mime_type.startswith("image/"):
            return Examined(mime_type, "image", len(d), 1, 1, d, mime_type, d, mime_type)
        return Examined(mime_type, "text", len(d), model_form=d, model_type="text/plain")
