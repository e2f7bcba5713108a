"""`/api/chatkit/attachments`: reading files, by signed links that are valid for a while."""

import re
from collections.abc import AsyncGenerator
from typing import Any

import structlog
from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse, StreamingResponse

from backchannel.context import CHAT, RequestContext
from backchannel.errors import NotFoundError
from backchannel.errors.files import RangeError
from backchannel.file_checks.names import content_disposition
from backchannel.file_stores.base import FileMissingError
from backchannel.files.attachments import FileAttachments
from backchannel.files.keys import Form, key_of
from backchannel.http.attachment_links import attachments_of
from backchannel.http.services import Services
from backchannel.stores.file_records import FileRecord

log = structlog.get_logger(__name__)

PRESIGNED_SECONDS = 120
"""How long the URL to which a link to a file store redirects is valid: it is used at once."""

MAX_AGE_SECONDS = 3_600
"""How long a browser may show again what it has loaded, at most."""

_FORMS: dict[str, Form] = {"": "original", "original": "original", "preview": "preview"}

_RANGE = re.compile(r"\s*bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*\Z", re.IGNORECASE)

_HEADERS = {
    # It can be shown on the pages of others only by who has the link. It can never act as a page of this server.
    "Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Referrer-Policy": "no-referrer",
}

_CONTENT: dict[str, Any] = {
    "responses": {
        "200": {"description": "The file.", "content": {"application/octet-stream": {}}},
        "206": {"description": "A part of it, as asked for by `Range`."},
        "304": {"description": "The client has it already (`If-None-Match`)."},
        "307": {"description": "It is at the URL of `Location`, for two minutes."},
        "416": {"description": "It has no such part."},
    },
    "security": [],
}


def attachments_router(services: Services) -> APIRouter:
    """The router of reading files."""
    router = APIRouter(tags=["files"])

    # Not a route with two methods, whose operations would have the same id.
    @router.head("/chatkit/attachments/{file_id}", include_in_schema=False, response_class=Response)
    @router.get("/chatkit/attachments/{file_id}", openapi_extra=_CONTENT, response_class=Response)
    async def read(  # pyright: ignore[reportUnusedFunction]
        request: Request, file_id: str, form: str = "", expires: str = "", signature: str = ""
    ) -> Response:
        """A file, or its preview (`form=preview`), by a link from a response. Without `signature`, the owner's
        credentials are asked for, and the response redirects to such a link."""
        attachments = attachments_of(services)
        links, files = attachments.links, attachments.files
        asked = _FORMS.get(form)
        if asked is None:
            raise NotFoundError("A file has the forms `original` and `preview`.")
        if not signature and not expires:
            context: RequestContext = await request.state.backchannel.authenticate(request)
            context.identity.require(CHAT)
            record = await files.records.load(file_id, context.identity)
            if record is None or not _has(record, asked):
                raise NotFoundError(f"There is no attachment {file_id}.")
            path = links.read_path(file_id, context.identity, asked)
            return RedirectResponse(f"{context.base_url}{path}", 307, {"Cache-Control": "private, no-store"})
        record = await files.records.find(file_id)
        left = links.check(
            "read",
            file_id,
            record.identity if record is not None else None,
            form=asked,
            expires=expires,
            signature=signature,
        )
        if record is None or not _has(record, asked):
            raise NotFoundError("The file is not uploaded, or has no preview.")
        try:
            return await _content(request, attachments, record, asked, left)
        except FileMissingError:
            log.error("file_lost", file_id=file_id)
            raise NotFoundError("The bytes of this file are lost.") from None

    return router


def _has(record: FileRecord, form: Form) -> bool:
    return record.status != "pending" and (form == "original" or record.preview_type is not None)


async def _content(
    request: Request, attachments: FileAttachments, record: FileRecord, form: Form, left: int
) -> Response:
    files = attachments.files
    if files.store.presigns and request.method == "GET":
        url = await files.store.presign_get(
            key_of(record, form),
            seconds=PRESIGNED_SECONDS,
            mime_type=_served_type(record, form),
            disposition=content_disposition(record.name),
        )
        return RedirectResponse(url, 307, {**_HEADERS, "Cache-Control": "private, no-store"})
    tag = f'"{record.version}-{form}"'
    headers = {
        **_HEADERS,
        "Content-Type": _served_type(record, form),
        "Content-Disposition": content_disposition(record.name),
        "Cache-Control": f"private, max-age={min(left, MAX_AGE_SECONDS)}",
        "ETag": tag,
        "Accept-Ranges": "bytes",
    }
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    size = record.size if form == "original" else await files.store.size(key_of(record, form))
    whole = request.headers.get("if-range", tag) != tag
    part = None if whole or request.method == "HEAD" else _range(request.headers.get("range", ""), size)
    start, end = part or (0, size)
    headers["Content-Length"] = str(end - start)
    if part is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    if request.method == "HEAD":
        return Response(headers=headers)
    pieces = files.read(record, form, start, end)
    # Before the response starts, so that a file that is lost is an error and not a broken connection.
    first = await anext(pieces, b"")

    async def content() -> AsyncGenerator[bytes]:
        yield first
        async for piece in pieces:
            yield piece

    return StreamingResponse(content(), 200 if part is None else 206, headers)


def _served_type(record: FileRecord, form: Form) -> str:
    """The type that a browser gets. Nothing that it could run is among them."""
    if form == "preview":
        return record.preview_type or "application/octet-stream"
    if record.kind == "text":
        return "text/plain"
    return record.mime_type if record.kind in {"image", "pdf"} else "application/octet-stream"


def _range(header: str, size: int) -> tuple[int, int] | None:
    """The bytes that are asked for, from the first up to before the second; `None` for the whole file, as also for
    several parts at once (RFC 9110, section 14.2, permits that).

    Raises:
        RangeError: There are no such bytes.
    """
    match = _RANGE.match(header)
    if match is None or not (match[1] or match[2]):
        return None
    if match[1]:
        start = int(match[1])
        end = min(int(match[2]) + 1, size) if match[2] else size
        if match[2] and int(match[2]) < start:
            return None
    else:
        start, end = max(size - int(match[2]), 0), size
    if start >= size or start >= end:
        raise RangeError(f"The file has {size:,} bytes.", details={"size": size})
    return start, end
