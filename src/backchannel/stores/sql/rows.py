"""Conversion between rows and the SDK's objects."""

from collections.abc import Mapping
from typing import Any

from chatkit.types import HiddenContextItem, SDKHiddenContextItem, ThreadItem, ThreadMetadata, ThreadStatus
from pydantic import TypeAdapter
from sqlalchemy import RowMapping

from backchannel.stores.text import json_of, storable_data
from backchannel.stores.times import to_sdk, to_utc

_ITEM: TypeAdapter[ThreadItem] = TypeAdapter(ThreadItem)
_STATUS: TypeAdapter[ThreadStatus] = TypeAdapter(ThreadStatus)


def thread_of(row: RowMapping) -> ThreadMetadata:
    """The thread in a row of `threads`."""
    return ThreadMetadata(
        id=row["id"],
        title=row["title"],
        created_at=to_sdk(row["created_at"]),
        status=_STATUS.validate_python(row["status"]),
        allowed_image_domains=row["allowed_image_domains"],
        metadata=row["metadata"],
    )


def thread_values(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of `ThreadMetadata` as columns of `threads`."""
    return {
        name: storable_data(_STATUS.dump_python(value, mode="json") if name == "status" else value)
        for name, value in fields.items()
    }


def saved_thread_values(thread: ThreadMetadata) -> dict[str, Any]:
    """The columns of `threads` that `Store.save_thread` writes."""
    names = ("title", "status", "allowed_image_domains", "metadata")
    return thread_values({name: getattr(thread, name) for name in names})


def item_of(data: str) -> ThreadItem:
    """The item in the column `data` of a row of `items`."""
    item = _ITEM.validate_json(data)
    item.created_at = to_sdk(item.created_at)
    return item


def item_values(thread_id: str, item: ThreadItem) -> dict[str, Any]:
    """An item as columns of `items`, without `seq`."""
    created_at = to_utc(item.created_at)
    # The content of hidden items is of any type; without a `None` in it they could not be parsed.
    hidden = isinstance(item, HiddenContextItem | SDKHiddenContextItem)
    return {
        "thread_id": thread_id,
        "id": item.id,
        "type": item.type,
        "data": json_of(item.model_copy(update={"created_at": created_at}), exclude_none=not hidden),
        "created_at": created_at,
    }
