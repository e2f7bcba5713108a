"""The caller of a REST endpoint, as a parameter: `async def endpoint(caller: Caller)`."""

from typing import Annotated

from fastapi import Depends, Request

from backchannel.context import RequestContext


async def _caller(request: Request) -> RequestContext:
    return await request.state.authenticate(request)


Caller = Annotated[RequestContext, Depends(_caller)]
"""Who is calling, authenticated by the server's chain; answers 401 where nobody is known."""
