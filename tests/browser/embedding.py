"""Another site's page with ChatKit's element on it; a stand-in, because the real one comes from OpenAI's servers."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, override

from playwright.async_api import Locator, Page, Request

FOLDER = Path(__file__).with_name("stand_in")


class _Files(SimpleHTTPRequestHandler):
    @override
    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def embedding_site() -> Generator[str]:
    """Serve the page from a port of its own; gives the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, directory=FOLDER))
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Embedded:
    """A browser tab with that page.

    Attributes:
        posts: The operations that were sent, as (type, headers in lower case).
        others: Other requests to the server, in order.
    """

    def __init__(self, page: Page, site: str, server_url: str) -> None:
        self.page = page
        self.server_url = server_url
        self.posts: list[tuple[str, dict[str, str]]] = []
        self.others: list[Request] = []
        self.problems: list[str] = []
        self._address = f"{site}/?server={server_url}"
        page.on("request", self._on_request)
        page.on("pageerror", lambda error: self.problems.append(str(error)))

    def _on_request(self, request: Request) -> None:
        if request.method == "POST" and request.url.endswith("/api/chatkit"):
            self.posts.append((json.loads(request.post_data or "{}")["type"], request.headers))
        elif "/api/chatkit/" in request.url:
            self.others.append(request)

    async def load(self) -> None:
        await self.page.goto(self._address)
        await self.page.wait_for_function("window.chatkit?.dataset.state === 'idle'")

    async def reload(self) -> None:
        await self.page.reload()
        await self.page.wait_for_function("window.chatkit?.dataset.state === 'idle'")

    @property
    def element(self) -> Locator:
        return self.page.locator("openai-chatkit")

    @property
    def questions(self) -> Locator:
        return self.page.get_by_role("article", name="You")

    @property
    def answers(self) -> Locator:
        return self.page.get_by_role("article", name="Answer")

    async def send(self, text: str) -> None:
        """Send a message; does not wait for anything."""
        await self.page.evaluate("text => void chatkit.sendUserMessage({ text })", text)

    async def stop(self) -> None:
        await self.page.evaluate("chatkit.stop()")

    async def state(self, name: str) -> Any:
        """A field of the element."""
        return await self.page.evaluate("name => chatkit[name]", name)

    async def ask_server(self, path: str) -> Any:
        """What the server says under `/api/chatkit`, to the person of this page."""
        return await self.page.evaluate(
            "async ([url]) => (await fetch(url)).json()", [f"{self.server_url}/api/chatkit{path}"]
        )

    async def run(self) -> dict[str, Any]:
        """The newest run of the open thread."""
        return (await self.ask_server(f"/threads/{await self.state('threadId')}/runs"))["data"][0]

    def streams(self) -> list[dict[str, str]]:
        """The headers of the streaming operations that were sent."""
        kinds = {"threads.create", "threads.add_user_message"}
        return [headers for kind, headers in self.posts if kind in kinds]

    def requests(self, what: str) -> list[Request]:
        """Requests about runs: `events` or `cancel`."""
        return [request for request in self.others if f"/{what}" in request.url]
