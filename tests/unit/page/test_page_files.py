"""How the page's files are served."""

from types import SimpleNamespace

import httpx2
import pytest
from starlette.applications import Starlette

from backchannel.http.page import page_routes
from backchannel.settings import Settings

pytestmark = pytest.mark.row("H3")


@pytest.fixture
def client() -> httpx2.AsyncClient:
    return client_of(SimpleNamespace(suggestions=(), attachments=None))


def client_of(parts: SimpleNamespace) -> httpx2.AsyncClient:
    app = Starlette(routes=page_routes(SimpleNamespace(parts=parts, settings=Settings())))
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test")


@pytest.mark.parametrize("path", ["/page/modules/chatkit-fetch.js", "/page/styles/base.css", "/"])
async def test_no_browser_uses_a_file_of_an_older_version(client: httpx2.AsyncClient, path: str) -> None:
    async with client:
        assert (await client.get(path)).headers["cache-control"] == "no-cache"


async def test_a_file_that_is_still_the_same_is_not_sent_again(client: httpx2.AsyncClient) -> None:
    async with client:
        first = await client.get("/page/modules/sse.js")
        again = await client.get("/page/modules/sse.js", headers={"If-None-Match": first.headers["etag"]})

    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["cache-control"] == "no-cache"
    assert first.headers["content-type"].startswith("text/javascript")


async def test_only_the_pages_own_files_are_served(client: httpx2.AsyncClient) -> None:
    async with client:
        for path in (
            "/page/",
            "/page/modules",
            "/page/nothing.js",
            "/page/%2e%2e/app.py",
            "/page/modules/../../app.py",
        ):
            assert (await client.get(path)).status_code == 404, path
        assert (await client.post("/page/modules/sse.js")).status_code == 405
        head = await client.head("/page/favicon.svg")
    assert head.headers["content-type"].startswith("image/svg+xml")


@pytest.mark.row("E1")
async def test_pictures_may_come_from_where_the_files_are_and_from_nowhere_else() -> None:
    store = SimpleNamespace(origins=("https://files.example", "https://other.example:9000"))
    attachments = SimpleNamespace(files=SimpleNamespace(store=store))
    async with client_of(SimpleNamespace(suggestions=(), attachments=attachments)) as client:
        policy = (await client.get("/")).headers["content-security-policy"]
    async with client_of(SimpleNamespace(suggestions=(), attachments=None)) as client:
        without = (await client.get("/")).headers["content-security-policy"]

    directives = {each.split()[0]: each.split()[1:] for each in policy.split(";")}
    assert directives["img-src"] == [
        "'self'",
        "data:",
        "blob:",
        "https://files.example",
        "https://other.example:9000",
    ]
    assert directives["connect-src"] == ["'self'", "https://files.example", "https://other.example:9000"]
    assert directives["script-src"] == directives["style-src"] == ["'self'"]
    assert "https:" not in without
