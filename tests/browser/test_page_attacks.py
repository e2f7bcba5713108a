"""Pages of other origins, in a real browser that has a person's cookie: what they try changes and shows nothing."""

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, override

import pytest
from playwright.async_api import Browser, BrowserContext, Page

from browser.own_server import Server
from people_who_log_in import PASSWORD

pytestmark = [pytest.mark.browser, pytest.mark.row("F3b", "W1")]

MESSAGE = (
    '{"type":"threads.create","params":{"input":{"content":[{"type":"input_text","text":"add stolen"}],'
    '"attachments":[],"quoted_text":null,"inference_options":{}}}}'
)

# Each sends what a page of another origin can make the browser send with the cookie, without asking first.
ATTACKS = """async ({ server, message, session }) => {
  const results = {};
  const attempt = async (name, work) => {
    try {
      results[name] = await work();
    } catch (error) {
      results[name] = error.name;
    }
  };
  const blind = (path, body, type = "text/plain") =>
    fetch(server + path, {
      method: "POST", mode: "no-cors", credentials: "include", body, headers: body ? { "Content-Type": type } : {},
    }).then((response) => response.type);
  const form = "application/x-www-form-urlencoded";
  await attempt("protocol", () => blind("/api/chatkit", message));
  await attempt("plain api", () => blind("/api/chatkit/stream", '{"input":{"type":"user_message","content":[]}}'));
  await attempt("thread", () => blind("/api/chatkit/threads", "{}"));
  await attempt("todo", () => blind("/api/todos", '{"title":"stolen"}'));
  await attempt("form for todo", () => blind("/api/todos", "title=stolen", form));
  await attempt("end session", () => blind(`/auth/sessions/${session}/end`, ""));
  await attempt("log out", () => blind("/auth/logout?everywhere=true", "", form));
  await attempt("beacon", () => navigator.sendBeacon(server + "/api/chatkit", new Blob([message], { type: "text/plain" })));
  await attempt("beacon for todo", () => navigator.sendBeacon(server + "/api/todos", '{"title":"stolen"}'));
  for (const path of ["/api/todos", "/auth/me", "/api/chatkit/threads"]) {
    await attempt(`read ${path}`, async () =>
      (await fetch(server + path, { credentials: "include" })).text());
  }
  await attempt("json", async () =>
    (await fetch(server + "/api/chatkit", {
      method: "POST", credentials: "include", headers: { "Content-Type": "application/json" }, body: message,
    })).text());
  const load = (tag, source) => new Promise((done) => {
    const element = Object.assign(document.createElement(tag), { onload: done, onerror: done });
    element[tag === "object" ? "data" : "src"] = source;
    document.body.append(element);
  });
  await load("img", server + "/api/todos?title=stolen");
  await load("script", server + "/api/todos");
  return results;
}"""

FORMS = """({ server, message }) => {
  const form = Object.assign(document.createElement("form"), {
    method: "post", action: server + "/api/chatkit", enctype: "text/plain",
  });
  const [name, value] = [message.slice(0, -1) + ',"x":"', '"}'];
  form.append(Object.assign(document.createElement("input"), { name, value }));
  document.body.append(form);
  form.submit();
}"""


class _Blank(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"<!doctype html><title>x</title><body>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @override
    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def blank_site() -> Generator[int]:
    """An empty page on a port of its own."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Blank)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def production(chromium: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    """In development pages of the same machine may do more."""
    folder = tmp_path_factory.mktemp("attacked")
    settings = {
        "env": "production",
        "auth": "password",
        "secret_key": "fedcba9876543210fedcba9876543210",
        "password_hash_memory_mib": "19",
        "model": "offline",
    }
    with Server(folder, **settings) as server:
        subprocess.run(
            [sys.executable, "-m", "backchannel", "user", "add", "alice"],
            input=PASSWORD.encode(),
            env={"BACKCHANNEL_DATABASE_URL": f"sqlite:///{folder / '.backchannel/backchannel.db'}"},
            cwd=folder,
            check=True,
            timeout=60,
        )
        yield server


async def log_in(page: Page, server: Server) -> None:
    await page.goto(f"{server.url}/auth/login")
    await page.get_by_label("Name").fill("alice")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Log in").click()
    await page.wait_for_url(f"{server.url}/")


async def seen_by_alice(page: Page, server: Server) -> dict[str, Any]:
    """On a page of the server itself."""
    await page.goto(f"{server.url}/")
    return await page.evaluate(
        """async () => {
          const read = async (path) => (await fetch(path)).json();
          const [me, todos, threads, sessions] = await Promise.all(
            ["/auth/me", "/api/todos", "/api/chatkit/threads", "/auth/sessions"].map(read));
          return { session: me.session_id, todos: todos.data, threads: threads.data, sessions: sessions.data?.length };
        }"""
    )


# The first is another site, the second the same site by another port, to which SameSite cookies are sent.
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_no_page_of_another_site_can_act_with_a_persons_cookie(
    browser: Browser, production: Server, host: str
) -> None:
    context: BrowserContext = await browser.new_context()
    page = await context.new_page()
    await log_in(page, production)
    before = await seen_by_alice(page, production)
    assert before["session"]
    assert (before["todos"], before["threads"]) == ([], [])
    with blank_site() as port:
        await page.goto(f"http://{host}:{port}/")
        arguments = {"server": production.url, "message": MESSAGE, "session": before["session"]}
        results = await page.evaluate(ATTACKS, arguments)
        for name, result in results.items():
            # What a page may send blindly, it gets no answer to; all else the browser refuses.
            assert result in {"opaque", "TypeError", True}, (name, result)
        assert len(results) == 13
        await page.evaluate(FORMS, arguments)
        await page.wait_for_url(f"{production.url}/**")
        shown = await page.content()
        assert any(code in shown for code in ("unauthenticated", "unsupported_media_type", "forbidden")), (
            shown
        )
        await page.goto(f"http://{host}:{port}/")
    assert await seen_by_alice(page, production) == before
    await context.close()
