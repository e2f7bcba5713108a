"""The examples of `deploy/proxies/` in front of a server: what a browser does works through each.

The names are not those of the loopback, whose pages may do more in development.
"""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from backchannel.testing import user_message
from browser.own_server import Server
from faults.proxies import KINDS, Proxy
from processes import within

pytestmark = pytest.mark.row("F8", "W1")

SECONDS = 20
NAME = "chat.example.com"
MESSAGE = {"type": "threads.create", "params": {"input": user_message("What can you do?")}}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    """A server at the root."""
    with Server(tmp_path_factory.mktemp("root"), app="faults.addressed:application") as server:
        yield server


@pytest.fixture(scope="module")
def prefixed(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    """A server with a root path."""
    folder = tmp_path_factory.mktemp("prefixed")
    with Server(folder, app="faults.addressed:application", root_path="/chat") as server:
        yield server


@asynccontextmanager
async def browser_of(
    proxy: Proxy, *, host: str | None = None, **headers: str
) -> AsyncGenerator[httpx2.AsyncClient]:
    """A client with cookies that sends what a browser sends from the server's own page."""
    name = host or f"{NAME}:{proxy.port}"
    headers = {"Host": name, "Origin": f"http://{name}", **headers}
    async with httpx2.AsyncClient(base_url=proxy.url, headers=headers, timeout=SECONDS) as client:
        yield client


async def lines_until(lines: AsyncIterator[str], word: str) -> list[str]:
    """The next lines, up to the one with a word."""
    found: list[str] = []
    async with asyncio.timeout(SECONDS):
        async for line in lines:
            found.append(line)
            if word in line:
                return found
    raise AssertionError(found)


@within(120)
@pytest.mark.parametrize("variant", ["root", "stripped", "kept"])
@pytest.mark.parametrize("kind", KINDS)
async def test_an_answer_comes_word_by_word_and_can_be_resumed(
    kind: str, variant: str, root: Server, prefixed: Server, tmp_path: Path
):
    """caddyserver/caddy#677, traefik/traefik#503: events came all at once. haproxy/haproxy#182: which times apply."""
    server = root if variant == "root" else prefixed
    async with Proxy(kind, tmp_path, server.port, variant=variant) as proxy, browser_of(proxy) as browser:
        server.hold_before_word(1)
        try:
            async with browser.stream("POST", "/api/chatkit", json=MESSAGE) as response:
                assert response.status_code == 200, await response.aread()
                run_id = response.headers["x-run-id"]
                lines = aiter(response.aiter_lines())
                begun = await lines_until(lines, "text_delta")
                # The next word is written only after this one was read.
                for word in range(2, 8):
                    server.hold_before_word(word)
                    begun += await lines_until(lines, "text_delta")
            last = [line.removeprefix("id: ") for line in begun if line.startswith("id: ")][-1]
        finally:
            server.go_on()
        # The cookie came with the first response, and belongs to the path.
        resumed = await browser.get(f"/api/chatkit/runs/{run_id}/events", headers={"Last-Event-ID": last})
        assert resumed.status_code == 200, resumed.text
        assert "thread.item.done" in resumed.text
        [cookie] = browser.cookies.jar
        assert cookie.path == ("/" if variant == "root" else "/chat")


LOADED = re.compile(r"""(?:src|href)="([^"#]+)"|url:\s*["']([^"']+)["']""")


@within(60)
@pytest.mark.row("W3")
@pytest.mark.parametrize("variant", ["root", "stripped", "kept"])
@pytest.mark.parametrize("kind", KINDS)
async def test_links_of_page_and_documentation_lead_somewhere(
    kind: str, variant: str, root: Server, prefixed: Server, tmp_path: Path
):
    """fastapi/fastapi#829, #4582, #1977, open-webui/open-webui#16836: the documentation asked for `/openapi.json`."""
    server = root if variant == "root" else prefixed
    async with Proxy(kind, tmp_path, server.port, variant=variant) as proxy, browser_of(proxy) as browser:
        for page in ("/", "/docs"):
            response = await browser.get(page)
            assert response.status_code == 200
            links = {first or second for first, second in LOADED.findall(response.text)}
            assert links
            for link in links:
                url = response.url.join(link)
                if url.host != "127.0.0.1":
                    continue
                assert str(url).startswith(proxy.url), link
                assert (await browser.get(url)).status_code == 200, link
        document = (await browser.get("/openapi.json")).json()
        prefix = "" if variant == "root" else "/chat"
        assert [server["url"] for server in document.get("servers", [{"url": ""}])] == [prefix]
        if variant != "root":
            bare = await browser.get(proxy.url)
            assert bare.status_code == 308
            assert str(bare.url.join(bare.headers["location"])).removeprefix(proxy.origin) == "/chat/"


HOSTS: dict[str, dict[str, dict[str, str]]] = {
    "as it came": {"nginx": {}, "caddy": {}, "haproxy": {}},
    # nightscout/nocturne#999, portainer/portainer#12751.
    "without the port": {
        "nginx": {
            "proxy_set_header Host $http_host;": "proxy_set_header Host $host;",
            "proxy_set_header X-Forwarded-Host $http_host;": "proxy_set_header X-Forwarded-Host $host;",
        },
    },
    "without the port, and no other headers": {
        "nginx": {
            "proxy_set_header Host $http_host;": "proxy_set_header Host $host;",
            "proxy_set_header X-Forwarded-Host $http_host;": "",
            "proxy_set_header X-Forwarded-Proto $scheme;": "",
            "proxy_set_header X-Forwarded-Port $server_port;": "",
        },
    },
    "of the upstream": {
        "nginx": {"proxy_set_header Host $http_host;": "proxy_set_header Host backchannel;"},
        "caddy": {"flush_interval -1": "flush_interval -1\n header_up Host {upstream_hostport}"},
        "haproxy": {"balance leastconn": "balance leastconn\n    http-request set-header Host backchannel"},
    },
}
"""What a proxy may do to `Host`, by changes of the example."""


@within(60)
@pytest.mark.parametrize(("case", "kind"), [(case, kind) for case, kinds in HOSTS.items() for kind in kinds])
async def test_a_page_may_act_whatever_the_proxy_does_to_host(
    case: str, kind: str, root: Server, tmp_path: Path
):
    async with Proxy(kind, tmp_path, root.port, changed=HOSTS[case][kind]) as proxy:
        for host in (f"{NAME}:{proxy.port}", NAME):
            async with browser_of(proxy, host=host) as browser:
                posted = await browser.post("/api/chatkit/visitor")
                assert posted.status_code == 200, (host, posted.text)
                again = await browser.post("/api/chatkit/visitor")
                assert again.json()["known"]
                foreign = await browser.post(
                    "/api/chatkit/visitor", headers={"Origin": "http://evil.example"}
                )
                assert foreign.status_code == 403


@within(60)
@pytest.mark.parametrize("kind", KINDS)
async def test_the_public_url_decides_where_it_is_set(kind: str, tmp_path: Path):
    public = "https://chat.example.com"
    with Server(tmp_path / "server", public_url=public) as server:
        proxy = Proxy(kind, tmp_path / "proxy", server.port)
        async with proxy, browser_of(proxy, host="internal", Origin=public) as browser:
            assert (await browser.post("/api/chatkit/visitor")).status_code == 200
            foreign = await browser.post("/api/chatkit/visitor", headers={"Origin": "https://evil.example"})
            assert foreign.status_code == 403


@within(60)
@pytest.mark.parametrize("kind", KINDS)
async def test_the_address_is_that_of_the_client_and_none_that_it_made_up(
    kind: str, root: Server, tmp_path: Path
):
    made_up = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"}
    async with Proxy(kind, tmp_path, root.port) as proxy:
        transport = httpx2.AsyncHTTPTransport(local_address="127.0.0.1")
        async with httpx2.AsyncClient(base_url=proxy.url, transport=transport, timeout=SECONDS) as client:
            seen = (await client.get("/api/seen", headers={"Host": NAME, **made_up})).json()
        assert seen["client"] == "127.0.0.1"
        assert re.fullmatch(rf"http://{NAME}(:\d+)?/", seen["base"])
    with Server(
        tmp_path / "distrustful", app="faults.addressed:application", trusted_proxies="192.0.2.1"
    ) as server:
        async with Proxy(kind, tmp_path / "again", server.port) as proxy, browser_of(proxy) as browser:
            assert (await browser.get("/api/seen")).json()["client"] == "127.0.0.1"
            # What any client could send does not make it another one.
            direct = await browser.get(f"{server.url}/api/seen", headers={"X-Forwarded-For": "6.6.6.6"})
            assert direct.json()["client"] == "127.0.0.1"


@within(60)
@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_refused_or_ends_arrives_as_it_was(kind: str, root: Server, tmp_path: Path):
    async with Proxy(kind, tmp_path, root.port) as proxy, browser_of(proxy) as browser:
        refused = await browser.post("/api/chatkit", json={"type": "threads.explode"})
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_request")
        # On a connection of its own: HAProxy closes one whose request was not read to its end.
        async with browser_of(proxy) as other:
            large = await other.post("/api/chatkit", content=json.dumps({"type": "x" * 1_500_000}).encode())
        assert (large.status_code, large.json()["code"]) == (413, "too_large")
        # Idle connections are used again, and none is closed at the wrong moment.
        for _ in range(50):
            assert (await browser.get("/health/live")).status_code == 200
        async with contextlib.AsyncExitStack() as stack:
            streams: list[Any] = []
            root.hold_before_word(1)
            for _ in range(10):
                stream = browser.stream("POST", "/api/chatkit", json=MESSAGE)
                streams.append(await stack.enter_async_context(stream))
            assert (await browser.get("/health/live")).status_code == 200
            root.go_on()
            texts = await asyncio.gather(*(stream.aread() for stream in streams))
        assert all(b": end" in text for text in texts)
