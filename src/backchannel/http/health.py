"""Whether the server lives, can take requests, and how its parts are."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse

from backchannel.http.services import Services


def health_router(services: Services) -> APIRouter:
    """Liveness, readiness and details. No authentication: balancers have no credentials."""
    router = APIRouter(prefix="/health", tags=["health"])

    @router.head("/live", include_in_schema=False)
    @router.get("/live")
    async def live() -> dict[str, str]:  # pyright: ignore[reportUnusedFunction]
        """The process answers. Restart it when it does not."""
        return {"status": "ok"}

    @router.head("/ready", include_in_schema=False)
    @router.get("/ready")
    async def ready() -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        """Every part that requests need answers. Send no requests while this is 503."""
        health = await services.health()
        body = {"status": health["status"]}
        return JSONResponse(body, status_code=200 if health["status"] == "ok" else 503)

    @router.get("")
    async def details() -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        """Each part with its state, and which model answers."""
        health: dict[str, Any] = await services.health()
        return JSONResponse(health, status_code=200 if health["status"] == "ok" else 503)

    return router
