"""The todo assistant with an endpoint that says how the server sees a request."""

from dataclasses import replace

from fastapi import APIRouter, Request

from backchannel.application import Application
from backchannel.settings import Settings
from backchannel.sql import Database
from backchannel.todo import assistant

router = APIRouter()


@router.get("/seen")
async def seen(request: Request) -> dict[str, str | None]:
    return {
        "client": request.client.host if request.client else None,
        "base": str(request.base_url),
    }


def application(settings: Settings, database: Database) -> Application:
    base = assistant(settings, database)
    return replace(base, routers=(*base.routers, router))
