"""Converts a model's calls of image generation to thread items."""

from collections.abc import Iterator

from chatkit.types import (
    GeneratedImage,
    GeneratedImageItem,
    GeneratedImageUpdated,
    ThreadItemAddedEvent,
    ThreadItemDoneEvent,
    ThreadItemRemovedEvent,
    ThreadItemUpdatedEvent,
    ThreadStreamEvent,
)
from openai.types.responses import ResponseImageGenCallPartialImageEvent
from openai.types.responses.response_output_item import ImageGenerationCall

from backchannel.ids import new_id
from backchannel.stores.times import to_sdk, utc_now

_MEDIA_TYPES = {"iVBOR": "image/png", "/9j/": "image/jpeg", "UklGR": "image/webp", "R0lGO": "image/gif"}
"""By the beginning of the data in Base64. Models are asked for a format and may send another."""


class GeneratedImages:
    """The images of one answer, by the provider's id of their call."""

    def __init__(self, thread_id: str) -> None:
        self._thread_id = thread_id
        self._open: dict[str, GeneratedImageItem] = {}

    def begin(self, call: ImageGenerationCall) -> Iterator[ThreadStreamEvent]:
        """An image is being made."""
        item = GeneratedImageItem(
            id=new_id("message"), thread_id=self._thread_id, created_at=to_sdk(utc_now())
        )
        self._open[call.id] = item
        yield ThreadItemAddedEvent(item=item)

    def update(self, event: ResponseImageGenCallPartialImageEvent) -> Iterator[ThreadStreamEvent]:
        """A preview of an image. Ignored for an unknown image."""
        item = self._open.get(event.item_id)
        if item is None or not event.partial_image_b64:
            return
        item.image = GeneratedImage(id=event.item_id, url=_data_url(event.partial_image_b64))
        yield ThreadItemUpdatedEvent(
            item_id=item.id, update=GeneratedImageUpdated(image=item.image, progress=0.0)
        )

    def end(self, call: ImageGenerationCall) -> Iterator[ThreadStreamEvent]:
        """An image is made, or could not be made: then it is removed."""
        item = self._open.pop(call.id, None)
        if not call.result:
            if item is not None:
                yield ThreadItemRemovedEvent(item_id=item.id)
            return
        if item is None:
            item = GeneratedImageItem(
                id=new_id("message"), thread_id=self._thread_id, created_at=to_sdk(utc_now())
            )
        item.image = GeneratedImage(id=call.id, url=_data_url(call.result))
        yield ThreadItemDoneEvent(item=item)

    def close(self) -> Iterator[ThreadStreamEvent]:
        """Remove the images that are not made when the answer ends."""
        for item in self._open.values():
            yield ThreadItemRemovedEvent(item_id=item.id)
        self._open.clear()


def _data_url(data: str) -> str:
    if data.startswith("data:"):
        return data
    media_type = next((kind for start, kind in _MEDIA_TYPES.items() if data.startswith(start)), "image/png")
    return f"data:{media_type};base64,{data}"
