"""The chat page at `/`, and its JavaScript modules, which pages of allowed CORS origins may import, too."""

import html
import json
from functools import cache
from hashlib import blake2b
from importlib.resources import files
from mimetypes import guess_type
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from backchannel.http.security_headers import page_policy
from backchannel.http.services import Services

_LOGIN = '<meta name="backchannel-login" content="">'
_BUDGETS = '<meta name="backchannel-budgets" content="">'
_SUGGESTIONS = '<meta name="backchannel-suggestions" content="">'


@cache
def _response(file: Path, modified_ns: int) -> tuple[bytes, dict[str, str]]:
    """The content of a file, and its headers. Read again only if it was modified, as while somebody works on it."""
    del modified_ns
    content = file.read_bytes()
    kind, _ = guess_type(file.name)
    # Browsers must revalidate each module, so that they do not mix old and new ones after an upgrade.
    headers = {"Cache-Control": "no-cache", "ETag": f'"{blake2b(content, digest_size=16).hexdigest()}"'}
    return content, headers | {"Content-Type": f"{kind or 'application/octet-stream'}; charset=utf-8"}


def page_routes(services: Services) -> list[BaseRoute]:
    """The routes of the page, which gets the suggested first messages, and of its files."""
    folder = Path(str(files("backchannel") / "page"))
    found = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*") if file.is_file()}
    source = (folder / "index.html").read_text(encoding="utf-8")

    if not {"password", "oidc"}.isdisjoint(services.settings.auth):
        source = source.replace(_LOGIN, _LOGIN.replace('""', '"auth/login"'))
    if services.settings.budgets:
        source = source.replace(_BUDGETS, _BUDGETS.replace('""', '"yes"'))

    async def page(_request: Request) -> Response:
        attachments = services.parts.attachments
        origins = attachments.files.store.origins if attachments is not None else ()
        content = html.escape(json.dumps(list(services.parts.suggestions), ensure_ascii=False))
        return HTMLResponse(
            source.replace(_SUGGESTIONS, _SUGGESTIONS.replace('""', f'"{content}"')),
            headers={
                "Content-Security-Policy": page_policy(services.settings, origins),
                "Cache-Control": "no-cache",
            },
        )

    async def page_file(request: Request) -> Response:
        file = found.get(request.path_params["path"])
        if file is None:
            raise HTTPException(404)
        # In this thread: a loaded page asks for some fifty files, and threads would cost more than the files.
        content, headers = _response(file, file.stat().st_mtime_ns)
        asked = request.headers.get("if-none-match", "")
        if headers["ETag"] in [tag.strip().removeprefix("W/") for tag in asked.split(",")]:
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers)

    return [Route("/", page, name="page"), Route("/page/{path:path}", page_file, name="page-files")]
