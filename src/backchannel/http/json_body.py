"""Strict parsing of JSON request bodies, with the parser that `POST /api/chatkit` uses."""

import json
from collections.abc import Callable, Coroutine
from typing import Any, override

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic_core import from_json


class JsonRoute(APIRoute):
    """A route that rejects what Python's JSON parser accepts beyond the standard: lone surrogates, NaN, and excessive
    nesting. For use as a router's `route_class`."""

    @override
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_json(request: Request) -> Response:
            return await handle(_JsonRequest(request.scope, request.receive))

        return handle_json


def without_bom(body: bytes) -> bytes:
    """A body without the byte order mark that some clients begin UTF-8 with. RFC 8259 allows to ignore it."""
    return body.removeprefix(b"\xef\xbb\xbf")


class _JsonRequest(Request):
    @override
    async def json(self) -> Any:
        body = without_bom(await self.body())
        try:
            return from_json(body, allow_inf_nan=False)
        except ValueError as error:
            # FastAPI handles this exception as invalid JSON.
            raise json.JSONDecodeError(str(error), "", 0) from None
