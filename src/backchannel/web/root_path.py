"""A prefix of all paths, behind a proxy that removes it or leaves it."""

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class RootPath:
    """ASGI middleware: paths are served with and without the prefix, and links have it.

    The prefix without a slash is redirected, because the links of the page are relative to its folder. The redirect is
    relative, so that no `Host` that somebody made up gets into it.

    Args:
        root_path: The prefix, such as `/chat`, without a slash at its end; empty for none.
    """

    def __init__(self, app: ASGIApp, *, root_path: str) -> None:
        self._app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in {"http", "websocket"} and self._root_path and not scope.get("root_path"):
            if scope["path"] == self._root_path:
                folder = self._root_path.rpartition("/")[2]
                await RedirectResponse(f"{folder}/", 308)(scope, receive, send)
                return
            scope["root_path"] = self._root_path
        await self._app(scope, receive, send)
