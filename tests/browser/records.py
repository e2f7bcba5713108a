"""Threads as the protocol gives them, for pages whose requests a test answers itself."""

from typing import Any


def thread(number: int) -> dict[str, Any]:
    return {
        "id": f"thr_{number:03}",
        "title": f"Chat {number:03}",
        "created_at": "2026-11-22T12:00:00Z",
        "status": {"type": "active"},
        "items": {"data": [], "has_more": False},
    }


def page_of(records: list[dict[str, Any]], params: dict[str, Any]) -> dict[str, Any]:
    ids = [record["id"] for record in records]
    start = ids.index(params["after"]) + 1 if params.get("after") else 0
    part = records[start : start + params["limit"]]
    has_more = start + params["limit"] < len(records)
    return {"data": part, "has_more": has_more, "after": part[-1]["id"]}
