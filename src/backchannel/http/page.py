"""The chat page at `/`."""

import html
import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' data:; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_SUGGESTIONS = '<meta name="backchannel-suggestions" content="">'


def page_routes(suggestions: Sequence[str]) -> list[BaseRoute]:
    """The page, with first messages to offer, and the files that it loads."""
    folder = Path(str(files("backchannel") / "page"))
    content = html.escape(json.dumps(list(suggestions), ensure_ascii=False))
    source = (folder / "index.html").read_text(encoding="utf-8")
    document = source.replace(_SUGGESTIONS, _SUGGESTIONS.replace('""', f'"{content}"'))

    async def page(_request: Request) -> Response:
        return HTMLResponse(
            document,
            headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY, "Cache-Control": "no-cache"},
        )

    return [Route("/", page, name="page"), Mount("/page", StaticFiles(directory=folder), name="page-files")]
