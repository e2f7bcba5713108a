"""`POST /api/chatkit/visitor`: whether the server will know the caller again."""

from fastapi import APIRouter, Request
from pydantic import BaseModel

from backchannel.context import RequestContext
from backchannel.http.services import Services


class Visitor(BaseModel):
    """Who a caller is to the server.

    Attributes:
        known: Whether the request had credentials. If not, the response has a cookie for the next one.
        anonymous: Whether the caller has not logged in.
    """

    known: bool
    anonymous: bool


def visitors_router(services: Services) -> APIRouter:
    """The router of the endpoint."""
    del services
    router = APIRouter(tags=["visitors"])

    @router.post("/chatkit/visitor")
    async def visitor(request: Request) -> Visitor:  # pyright: ignore[reportUnusedFunction]
        """Makes a visitor of a caller without credentials, before there is anything to lose. A caller that is unknown
        at its second call keeps no cookies: it would not see its own conversations."""
        exchange = request.state.backchannel
        context: RequestContext = await exchange.authenticate(request)
        return Visitor(known=exchange.set_cookie is None, anonymous=context.identity.anonymous)

    return router
