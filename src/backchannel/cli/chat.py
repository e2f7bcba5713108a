"""`backchannel chat`: chat with a running server in the terminal."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2
from rich.console import Console
from rich.live import Live

from backchannel.cli.transcript import Transcript
from backchannel.client import ChatKitClient, ServerError, Stream

QUIT = {"/quit", "/exit", "/q"}
HELP = "Type a message. /new starts a new conversation, /quit leaves. Ctrl+C stops an answer."


def chat(
    message: str | None = None,
    /,
    *,
    url: str = "http://127.0.0.1:8000",
    token: str | None = None,
    thread: str | None = None,
) -> None:
    """Chat with a running server. Hand-offs and tool calls are shown live.

    Parameters
    ----------
    message
        Send this message, print the answer and exit. Default: an interactive conversation.
    url
        The URL of the server.
    token
        A bearer token. Default: BACKCHANNEL_TOKEN, else an anonymous user's cookie, which is saved for later calls.
    thread
        Continue the conversation with this id.
    """
    session = Session(url.rstrip("/"), token or os.environ.get("BACKCHANNEL_TOKEN"), Console(), thread)
    sys.exit(session.say(message) if message is not None else _converse(session))


def _converse(session: "Session") -> int:
    console = session.console
    console.print(f"[dim]{session.url} · {HELP}[/dim]", highlight=False)
    while True:
        try:
            line = console.input("\n[bold]you ›[/bold] ").strip()
        except (EOFError, KeyboardInterrupt):
            console.print()
            return 0
        if line in QUIT:
            return 0
        if line == "/new":
            session.thread_id = None
            console.print("[dim]A new conversation.[/dim]")
        elif line:
            session.say(line)


class Session:
    """One conversation in the terminal. Each message has its own event loop, so that Ctrl+C stops an answer while one
    is streamed, and otherwise exits."""

    def __init__(self, url: str, token: str | None, console: Console, thread_id: str | None) -> None:
        self.url = url
        self.console = console
        self.thread_id = thread_id
        self._token = token
        self._cookies = CookieFile(url)

    def say(self, text: str) -> int:
        """Send a message and show the answer. Returns the exit code: 0, or 1 if the answer failed."""
        try:
            return asyncio.run(self._say(text))
        except ServerError as error:
            self.console.print(f"[red]{error.message}[/red] [dim]{error.request_id}[/dim]", highlight=False)
        except (httpx2.TransportError, httpx2.InvalidURL) as error:
            self.console.print(
                f"[red]The server at {self.url} cannot be reached ({type(error).__name__}). "
                "Start it with: backchannel serve[/red]",
                highlight=False,
            )
        return 1

    async def _say(self, text: str) -> int:
        async with ChatKitClient(self.url, token=self._token) as client:
            if self._token is None:
                client.http.cookies.update(dict(self._cookies.load()))
            stream = await client.say(text, self.thread_id)
            if self._token is None:
                self._cookies.save(dict(client.http.cookies))
            return await self._show(client, stream)

    async def _show(self, client: ChatKitClient, stream: Stream) -> int:
        transcript = Transcript()
        failed = False
        with Live(console=self.console, refresh_per_second=12, vertical_overflow="visible") as live:
            try:
                async for event in stream:
                    if event["type"] == "thread.created":
                        self.thread_id = event["thread"]["id"]
                    failed = failed or event["type"] == "error"
                    transcript.apply(event)
                    live.update(transcript.render())
            except asyncio.CancelledError:
                # Ctrl+C. The server stores the partial answer.
                await client.stop(stream.run_id)
                transcript.apply({"type": "notice", "level": "info", "message": "Stopped."})
            live.update(transcript.render())
        return 1 if failed else 0


class CookieFile:
    """Stores anonymous users' cookies by server URL, in a file that only the current user can read."""

    def __init__(self, url: str) -> None:
        state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        self._path = Path(state) / "backchannel" / "cookies.json"
        self._url = url

    def load(self) -> Mapping[str, str]:
        """The cookies for this server, if any."""
        return self._all().get(self._url, {})

    def save(self, cookies: Mapping[str, str]) -> None:
        """Store the cookies for this server. Errors of the file system are ignored."""
        everything = {**self._all(), self._url: dict(cookies)}
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.touch(mode=0o600)
            self._path.write_text(json.dumps(everything), encoding="utf-8")

    def _all(self) -> dict[str, Any]:
        try:
            stored = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return stored if isinstance(stored, dict) else {}  # pyright: ignore[reportUnknownVariableType]
