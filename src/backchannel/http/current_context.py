"""A dependency for the authenticated caller: `async def endpoint(context: CurrentContext)`."""

from typing import Annotated

from fastapi import Depends, Request

from backchannel.context import RequestContext


async def _current_context(request: Request) -> RequestContext:
    return await request.state.backchannel.authenticate(request)


CurrentContext = Annotated[RequestContext, Depends(_current_context)]
"""The `RequestContext` of the authenticated caller. Missing or invalid credentials are answered with 401 before the
endpoint is called."""
