"""`backchannel chat` against a real server, both as processes of their own."""

import json
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

pytestmark = pytest.mark.row("H4", "B5", "B7")


type Chat = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def chat(child_environment: dict[str, str], tmp_path: Path) -> Chat:
    """Runs the command as somebody whose state is kept in `tmp_path`."""

    def run(*arguments: str, typed: str | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "backchannel", "chat", *arguments],
            env={**child_environment, "XDG_STATE_HOME": str(tmp_path), **variables},
            input=typed,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture(scope="module")
def server(child_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """The address of a server with the todo assistant and the offline model."""
    process = subprocess.Popen(
        [sys.executable, "-m", "backchannel", "serve", "--port", "0"],
        cwd=tmp_path_factory.mktemp("server"),
        env=child_environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout:
        found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        assert found is not None, "the server did not start"
        yield found[0]
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_one_message_prints_the_answer_and_what_the_agents_did(server: str, chat: Chat, tmp_path: Path):
    done = chat("--url", server, "add buy milk to my list")
    assert done.returncode == 0, done.stderr
    assert "buy milk" in done.stdout.lower()
    assert re.search(r"^✓ .*(create|add)", done.stdout, re.IGNORECASE | re.MULTILINE), done.stdout
    assert "Traceback" not in done.stderr
    # The visitor's cookie is kept, readable by its owner only, so the next call is the same visitor's.
    kept = tmp_path / "backchannel" / "cookies.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert server in json.loads(kept.read_text())
    again = chat("--url", f"{server}/", typed="list my todos\n/new\n\n/quit\n")
    assert again.returncode == 0, again.stderr
    assert "buy milk" in again.stdout.lower()
    assert "A new conversation." in again.stdout


def test_an_error_of_the_server_is_told(server: str, chat: Chat):
    done = chat("--url", server, "--thread", "thr_unknown", "hi")
    assert done.returncode == 1
    assert "There is no thread thr_unknown." in done.stdout
    assert "req_" in done.stdout


def test_with_a_token_no_cookie_is_kept(server: str, chat: Chat, tmp_path: Path):
    done = chat("--url", server, "hi", BACKCHANNEL_TOKEN="nonsense")
    # The server under test knows visitors only: the token means nothing to it, and the cookie is not kept.
    assert done.returncode == 0
    assert not (tmp_path / "backchannel").exists()


def test_a_server_that_is_down_is_told_with_what_to_do(chat: Chat):
    with socket.create_server(("127.0.0.1", 0)) as closing:
        port = closing.getsockname()[1]
    done = chat("--url", f"http://127.0.0.1:{port}", "hi")
    assert done.returncode == 1
    said = " ".join(done.stdout.split())
    assert f"The server at http://127.0.0.1:{port} cannot be reached" in said
    assert "backchannel serve" in said
    assert "Traceback" not in done.stdout + done.stderr
