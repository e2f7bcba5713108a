"""The chat page at `/`, and its JavaScript modules, which pages of allowed CORS origins may import, too."""

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
        # Browsers must revalidate each module, so that they do not mix old and new ones after an upgrade.
        response.headers["Cache-Control"] = "no-cache"
        return response


def page_routes(services: Services) -> list[BaseRoute]:
    """The routes of the page, which gets the suggested first messages, and of its files."""
    folder = Path(str(files("backchannel") / "page"))
    source = (folder / "index.html").read_text(encoding="utf-8")

    async def page(_request: Request) -> Response:
        content = html.escape(json.dumps(list(services.parts.suggestions), ensure_ascii=False))
        return HTMLResponse(
            source.replace(_SUGGESTIONS, _SUGGESTIONS.replace('""', f'"{content}"')),
            headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY, "Cache-Control": "no-cache"},
        )

    return [Route("/", page, name="page"), Mount("/page", _PageFiles(directory=folder), name="page-files")]
