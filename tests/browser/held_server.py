"""The server of the browser tests: `backchannel`, whose offline model writes fast and pauses where a test tells it to.

Whatever shows only while an answer is being written can so be looked at for as long as a slow machine needs. It also
notes how many calls of the model are open.
"""

import asyncio
import os
from collections.abc import AsyncGenerator
from functools import wraps
from pathlib import Path
from typing import Any

from agents.items import TResponseStreamEvent
from openai.types.responses import ResponseOutputItemAddedEvent, ResponseTextDeltaEvent

from backchannel.cli import main
from backchannel.models.offline import OfflineModel

PAUSE_FILE = "BROWSER_TESTS_PAUSE_FILE"
CALLS_FILE = "BROWSER_TESTS_CALLS_FILE"
LONGEST_PAUSE_SECONDS = 60
WORDS_PER_SECOND = 400

_create = OfflineModel.__init__
_stream = OfflineModel.stream_response
_open_calls = 0


@wraps(_create)
def _fast(self: OfflineModel, **options: Any) -> None:
    _create(self, **options | {"words_per_second": WORDS_PER_SECOND})


@wraps(_stream)
async def _paused(self: OfflineModel, *args: Any, **options: Any) -> AsyncGenerator[TResponseStreamEvent]:
    words = 0
    _count(1)
    try:
        async for event in _stream(self, *args, **options):
            if isinstance(event, ResponseOutputItemAddedEvent) and event.item.type == "message":
                await _pause_before(0)
            if isinstance(event, ResponseTextDeltaEvent):
                await _pause_before(words)
                words += 1
            yield event
    finally:
        _count(-1)


def _count(change: int) -> None:
    global _open_calls  # noqa: PLW0603 - one process has one model
    _open_calls += change
    file = Path(os.environ[CALLS_FILE])
    written = file.with_suffix(".new")
    written.write_text(str(_open_calls))
    written.replace(file)


async def _pause_before(word: int) -> None:
    """Wait while the file says that `word` is the first one to hold back."""
    async with asyncio.timeout(LONGEST_PAUSE_SECONDS):
        while _first_held_back() == word:  # noqa: ASYNC110 - another process changes it
            await asyncio.sleep(0.02)


def _first_held_back() -> int | None:
    try:
        return int(Path(os.environ[PAUSE_FILE]).read_text())
    except FileNotFoundError:
        return None


if __name__ == "__main__":
    OfflineModel.__init__ = _fast
    OfflineModel.stream_response = _paused
    main()
