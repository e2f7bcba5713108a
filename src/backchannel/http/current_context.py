"""Dependencies for the authenticated caller: `async def endpoint(context: CurrentContext)`."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request

from backchannel.context import CHAT, RequestContext


async def _current_context(request: Request) -> RequestContext:
    return await request.state.backchannel.authenticate(request)


CurrentContext = Annotated[RequestContext, Depends(_current_context)]
"""The `RequestContext` of the authenticated caller. Missing or invalid credentials are answered with 401 before the
endpoint is called."""


def context_with(scope: str) -> Callable[[Request], Awaitable[RequestContext]]:
    """A dependency for the authenticated caller who has a scope:
    `context: Annotated[RequestContext, Depends(context_with("reports"))]`. Others are answered with 403."""

    async def context(request: Request) -> RequestContext:
        found = await _current_context(request)
        found.identity.require(scope)
        return found

    return context


ChatContext = Annotated[RequestContext, Depends(context_with(CHAT))]
"""The caller, who may chat."""
