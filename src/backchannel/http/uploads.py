"""`/api/chatkit/uploads`: files on their way in, by either of ChatKit's ways.

The body is a stream: `http.gateway` leaves it unread, and what is received goes to a temporary file.
"""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from chatkit.types import Attachment
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel
from starlette.requests import ClientDisconnect

from backchannel.chat.protocol.wire import encode
from backchannel.context import CHAT, RequestContext
from backchannel.errors import BodyTimeoutError, InvalidRequestError
from backchannel.files.attachments import attachment_of, with_links
from backchannel.files.form_upload import MAX_OTHER_BYTES, FormUpload
from backchannel.files.spool import SpooledFile, too_large
from backchannel.http.attachment_links import AddLinks, attachments_of, links_for
from backchannel.http.current_context import ChatContext
from backchannel.http.services import Services
from backchannel.settings.lists import split_commas
from backchannel.stores.file_records import FileRecord

_UPLOAD_PATH = re.compile(r"/api/chatkit/uploads(?:/[^/]*)?/?\Z")

_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            }
        },
    },
    "responses": {
        "200": {"description": "The attachment, as ChatKit defines it.", "content": {"application/json": {}}}
    },
}
_ANNOUNCED: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            **_FORM["requestBody"]["content"],
            "*/*": {"schema": {"type": "string", "format": "binary"}},
        },
    },
    "responses": _FORM["responses"],
    "security": [],
}


class UploadLimits(BaseModel):
    """What may be attached.

    Attributes:
        max_bytes: The most bytes of a file.
        max_files: The most files of a message.
        types: MIME types, `image/*`, or extensions with their dot.
        quota_bytes: The most bytes of all of the caller's files; `None` for no limit.
        used_bytes: How many they have.
    """

    max_bytes: int
    max_files: int
    types: list[str]
    quota_bytes: int | None
    used_bytes: int


def takes_stream(method: str, path: str) -> bool:
    """Whether a request is an upload, whose body an endpoint reads piece by piece."""
    return method in {"POST", "PUT"} and _UPLOAD_PATH.search(path) is not None


def uploads_router(services: Services) -> APIRouter:
    """The router of uploads."""
    router = APIRouter(tags=["files"])

    @router.get("/chatkit/uploads")
    async def upload_limits(context: ChatContext) -> UploadLimits:  # pyright: ignore[reportUnusedFunction]
        """What may be attached, for whoever offers people to choose files. `not_enabled` if the server takes none."""
        files = attachments_of(services).files
        return UploadLimits(
            max_bytes=files.limits.max_bytes,
            max_files=services.settings.max_message_attachments,
            types=list(split_commas(services.settings.upload_types)),
            quota_bytes=files.limits.quota,
            used_bytes=await files.records.used(context.identity),
        )

    @router.post("/chatkit/uploads", openapi_extra=_FORM, response_class=Response)
    async def upload(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Upload a file in one request: `multipart/form-data` with a part `file`. Its attachment can then be sent in a
        message by its id."""
        context: RequestContext = await request.state.backchannel.authenticate(request)
        context.identity.require(CHAT)
        files = attachments_of(services).files
        _check_length(request, files.limits.max_bytes)
        async with files.spool.open() as spooled:
            form = FormUpload(request.headers.get("content-type", ""), spooled, files.limits.max_bytes)
            async with aclosing(_chunks(request, services)) as chunks:
                await form.read(chunks)
            record = await files.receive(context.identity, spooled, form.name or "", form.mime_type)
        attachment = attachment_of(record)
        await services.server.store.save_attachment(attachment, context.for_server)
        return _response(attachment, links_for(services, context))

    _add_announced(router, services)
    return router


def _add_announced(router: APIRouter, services: Services) -> None:
    @router.put("/chatkit/uploads/{file_id}", openapi_extra=_ANNOUNCED, response_class=Response)
    @router.post(
        "/chatkit/uploads/{file_id}",
        operation_id="upload_announced_form",
        openapi_extra=_ANNOUNCED,
        response_class=Response,
    )
    async def upload_announced(  # pyright: ignore[reportUnusedFunction]
        request: Request, file_id: str, expires: str = "", signature: str = ""
    ) -> Response:
        """Send the bytes of a file that was announced by `attachments.create`, to the URL that it gave: as they are, or
        as `multipart/form-data` with a part `file`. May be repeated if it was cut off."""
        attachments = attachments_of(services)
        links, files = attachments.links, attachments.files
        record = await files.records.find(file_id)
        owner = record.identity if record is not None else None
        links.check("upload", file_id, owner, form="original", expires=expires, signature=signature)
        assert record is not None
        if record.status == "pending":
            _check_length(request, record.size)
            async with files.spool.open() as spooled, aclosing(_chunks(request, services)) as chunks:
                await _read_announced(request, spooled, chunks, record)
                record = await files.fill(record, spooled)
        base_url = request.state.backchannel.base_url(request)
        identity = record.identity
        return _response(attachment_of(record), lambda body: with_links(body, links, identity, base_url))


async def _read_announced(
    request: Request, spooled: SpooledFile, chunks: AsyncGenerator[bytes], record: FileRecord
) -> None:
    content_type = request.headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() == "multipart/form-data":
        await FormUpload(content_type, spooled, record.size).read(chunks)
        return
    async for chunk in chunks:
        await spooled.write(chunk)
        if spooled.size > record.size:
            raise too_large(record.size)
    await spooled.flush()


def _response(attachment: Attachment, add_links: AddLinks) -> Response:
    assert isinstance(attachment, BaseModel)
    return Response(add_links(encode(attachment)), media_type="application/json")


def _check_length(request: Request, max_bytes: int) -> None:
    """Refuse what says itself that it is too large before it is received."""
    declared = request.headers.get("content-length", "0")
    if not (declared.isascii() and declared.isdecimal()):
        raise InvalidRequestError("Content-Length is not a number.")
    if int(declared[:20]) > max_bytes + MAX_OTHER_BYTES:
        raise too_large(max_bytes)


async def _chunks(request: Request, services: Services) -> AsyncGenerator[bytes]:
    """The body, as it arrives.

    Raises:
        InvalidRequestError: The connection was closed before its end.
        BodyTimeoutError: Nothing arrived for a while, or all of it takes too long.
    """
    idle = services.settings.body_timeout_seconds
    total = services.settings.upload_timeout_seconds
    stream = aiter(request.stream())
    try:
        async with asyncio.timeout(total):
            while True:
                async with asyncio.timeout(idle):
                    chunk = await anext(stream, None)
                if chunk is None:
                    return
                yield chunk
    except ClientDisconnect:
        raise InvalidRequestError("The connection was closed before the upload was complete.") from None
    except TimeoutError:
        raise BodyTimeoutError(
            f"The upload did not arrive in time: nothing came for {idle:g} seconds, or all of it took {total:g}."
        ) from None
