"""The chat page at `/`, and the modules that pages elsewhere may import: those that CORS lets call the server."""

import html
import json
import os
from importlib.resources import files
from pathlib import Path
from typing import override

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from backchannel.http.services import Services

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' data:; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_SUGGESTIONS = '<meta name="backchannel-suggestions" content="">'


class _PageFiles(StaticFiles):
    @override
    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        # Modules belong together: after an upgrade no browser may mix old and new ones. So each is asked for again,
        # and answered with 304 as long as it is the same.
        response.headers["Cache-Control"] = "no-cache"
        return response


def page_routes(services: Services) -> list[BaseRoute]:
    """The page, with first messages to offer, and the files that it loads."""
    folder = Path(str(files("backchannel") / "page"))
    source = (folder / "index.html").read_text(encoding="utf-8")

    async def page(_request: Request) -> Response:
        content = html.escape(json.dumps(list(services.parts.suggestions), ensure_ascii=False))
        return HTMLResponse(
            source.replace(_SUGGESTIONS, _SUGGESTIONS.replace('""', f'"{content}"')),
            headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY, "Cache-Control": "no-cache"},
        )

    return [Route("/", page, name="page"), Mount("/page", _PageFiles(directory=folder), name="page-files")]
