"""The authenticated caller of an endpoint, as a parameter: `async def endpoint(context: CurrentContext)`."""

from typing import Annotated

from fastapi import Depends, Request

from backchannel.context import RequestContext


async def _current_context(request: Request) -> RequestContext:
    return await request.state.authenticate(request)


CurrentContext = Annotated[RequestContext, Depends(_current_context)]
"""The caller's `RequestContext`, authenticated by the server's chain. A request without valid credentials is answered
with 401 before the endpoint is called."""
