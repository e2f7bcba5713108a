"""Health endpoints: liveness, readiness and details."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse

from backchannel.http.services import Services


def health_router(services: Services) -> APIRouter:
    """The router of the health endpoints. They need no authentication, as load balancers have no credentials."""
    router = APIRouter(prefix="/health", tags=["health"])

    @router.head("/live", include_in_schema=False)
    @router.get("/live")
    async def live() -> dict[str, str]:  # pyright: ignore[reportUnusedFunction]
        """Liveness: 200 if the process responds. Restart it if it does not."""
        return {"status": "ok"}

    @router.head("/ready", include_in_schema=False)
    @router.get("/ready")
    async def ready() -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        """Readiness: 200 if every component is available, else 503. Send no requests while this is 503."""
        health = await services.health()
        body = {"status": health["status"]}
        return JSONResponse(body, status_code=200 if health["status"] == "ok" else 503)

    @router.get("")
    async def details() -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        """The state of each component, and the model in use."""
        health: dict[str, Any] = await services.health()
        return JSONResponse(health, status_code=200 if health["status"] == "ok" else 503)

    return router
