"""`oidc-provider-mock` as a process, for logins with a provider that other people have written."""

import json
import signal
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

from processes import Process, free_port

START_SECONDS = 60

ADA = {"sub": "ada-1815", "name": "Ada Lovelace", "email": "ada@example.com"}


class RunningProvider:
    """The running provider.

    Attributes:
        url: Its issuer.
    """

    def __init__(self, url: str, process: Process) -> None:
        self.url = url
        self.process = process

    def revoke(self, subject: str) -> None:
        """Take back all tokens of a person."""
        request = Request(f"{self.url}/users/{subject}/revoke-tokens", method="POST", data=b"")
        with urlopen(request, timeout=10) as response:
            assert response.status == 204


@contextmanager
def mock_provider(folder: Path) -> Generator[RunningProvider]:
    """Run the provider, with Ada as a person."""
    port, process = free_port(), Process(folder / "provider.log")
    arguments = ["--port", str(port), "--host", "127.0.0.1", "--user-claims", json.dumps(ADA)]
    process.execute([sys.executable, "-m", "oidc_provider_mock", *arguments])
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            assert process.alive, process.told()
            assert time.monotonic() < deadline, process.told()
            try:
                with urlopen(f"{url}/.well-known/openid-configuration", timeout=5):
                    break
            except (URLError, OSError):
                time.sleep(0.05)
        yield RunningProvider(url, process)
    finally:
        if process.alive:
            process.signal(signal.SIGKILL)
        while process.alive:
            time.sleep(0.01)
