"""Strict parsing of JSON request bodies, with the parser that `POST /api/chatkit` uses."""

import json
import re
from collections.abc import Callable, Coroutine
from typing import Any, override

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic_core import from_json


class JsonRoute(APIRoute):
    """A route that rejects what Python's JSON parser accepts beyond the standard: NaN, and excessive nesting. It is
    used as a router's `route_class`."""

    @override
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_json(request: Request) -> Response:
            return await handle(_JsonRequest(request.scope, request.receive))

        return handle_json


_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
"""An escape of a JSON string: a surrogate pair, half of one, or anything else."""


def parseable(body: bytes) -> bytes:
    """A body without what strict parsers refuse and clients send: a byte order mark before UTF-8, which RFC 8259 allows
    to ignore, and halves of surrogate pairs, which become U+FFFD. JavaScript cuts text between two halves."""
    body = body.removeprefix(b"\xef\xbb\xbf")
    if b"\\u" not in body:
        return body
    return _ESCAPE.sub(lambda escape: b"\\ufffd" if escape["half"] else escape[0], body)


class _JsonRequest(Request):
    @override
    async def json(self) -> Any:
        body = parseable(await self.body())
        try:
            return from_json(body, allow_inf_nan=False)
        except ValueError as error:
            # FastAPI handles this exception as invalid JSON.
            raise json.JSONDecodeError(str(error), "", 0) from None
