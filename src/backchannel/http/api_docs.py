"""The documentation of the API at `/docs`: Swagger UI, from an installed package and not from another host.

A script of another host would run on the origin of the server's cookies. Everything of the page is loaded from below
it, by links that are relative, so that it works below any prefix.
"""

from functools import cache
from hashlib import blake2b
from importlib.resources import files

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Backchannel API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="api"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""

# Without `validatorUrl`, a badge would be loaded from another host.
_START = b"""\
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#api",
  deepLinking: true,
  presets: [SwaggerUIBundle.presets.apis],
  validatorUrl: null,
});
"""

_TYPES = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "start.js": "text/javascript",
}


@cache
def _content(name: str) -> tuple[bytes, str]:
    """The content of a file and its entity tag."""
    content = _START if name == "start.js" else (files("fastapi_offline") / "static" / name).read_bytes()
    return content, f'"{blake2b(content, digest_size=16).hexdigest()}"'


def api_docs_routes() -> list[BaseRoute]:
    """The routes of the page and of its files."""

    async def page(_request: Request) -> Response:
        headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
        return HTMLResponse(_PAGE, headers=headers)

    async def file(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _TYPES:
            raise HTTPException(404)
        content, tag = _content(name)
        headers = {"Cache-Control": "no-cache", "ETag": tag}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=_TYPES[name], headers=headers)

    return [Route("/docs", page, name="api-docs"), Route("/docs/{name}", file, name="api-docs-files")]
