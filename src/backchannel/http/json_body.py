"""Bodies read by the rules of JSON, as `POST /api/chatkit` reads them."""

import json
from collections.abc import Callable, Coroutine
from typing import Any, override

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic_core import from_json


class JsonRoute(APIRoute):
    """A route that refuses what Python takes for JSON and nobody can keep or send: halves of surrogate pairs, NaN,
    and nesting beyond reason. To be given to a router as its `route_class`."""

    @override
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_json(request: Request) -> Response:
            return await handle(_JsonRequest(request.scope, request.receive))

        return handle_json


class _JsonRequest(Request):
    @override
    async def json(self) -> Any:
        body = await self.body()
        try:
            return from_json(body, allow_inf_nan=False)
        except ValueError as error:
            # What FastAPI expects here, and answers as any other JSON that is none.
            raise json.JSONDecodeError(str(error), "", 0) from None
