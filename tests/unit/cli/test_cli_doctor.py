"""`backchannel doctor`: everything that is wrong is reported at once, within bounded time, and without secrets."""

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Generator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import RSAKey

from backchannel.cli import diagnosis, endpoint_probes, findings, machine_probes
from backchannel.key_sets.jwks import MAX_REDIRECTS
from field.mcp_chat import SCRIPTS
from processes import free_port
from unit.cli.conftest import Command, Ended

pytestmark = pytest.mark.row("G7")

KEY = "sk-" + "k" * 40
SECRET = "very.secret.value.of.32.characters"
"""Nothing that looks like a secret by itself."""


@pytest.fixture
def doctor(command: Command, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Runs the command; its exit code, and the state and message of each check."""

    def run(openai_base_url: str = "", openai_api_key: str = "", **settings: str):
        if openai_base_url:
            monkeypatch.setenv("OPENAI_BASE_URL", openai_base_url)
        if openai_api_key:
            monkeypatch.setenv("OPENAI_API_KEY", openai_api_key)
        ended: Ended = command("doctor", "--json", **settings)
        assert ended.err == ""
        found: dict[str, Any] = {}
        for each in json.loads(ended.out)["findings"]:
            found.setdefault(each["check"], []).append((each["state"], each["message"]))
        # No secret, wherever it stands.
        assert KEY not in ended.out
        assert SECRET not in ended.out
        return ended.code, found

    return run


class Endpoint:
    """An HTTP endpoint in a thread, with one answer for everything.

    Attributes:
        asked: The path and the authorization of each request.
        redirects: How many redirects lead from `/v1/from/1` to the answer.
    """

    def __init__(self) -> None:
        self.status, self.body, self.headers, self.pause = 200, {"data": [{"id": "some-model"}]}, {}, 0.0
        self.asked: list[tuple[str, str | None]] = []
        self.redirects = 0
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                endpoint.asked.append((self.path, self.headers.get("authorization")))
                time.sleep(endpoint.pause)
                number = int(self.path.rpartition("/from/")[2]) if "/from/" in self.path else 0
                if 0 < number <= endpoint.redirects:
                    self.send_response_only(302)
                    self.send_header("Location", f"{endpoint.url}/from/{number + 1}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                body = json.dumps(endpoint.body).encode()
                self.send_response_only(endpoint.status)
                for name, value in {"Content-Length": str(len(body)), **endpoint.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: Any) -> None:
                """A client that does not wait for the answer is expected."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"


@pytest.fixture
def endpoint() -> Generator[Endpoint]:
    endpoint = Endpoint()
    thread = threading.Thread(target=endpoint.server.serve_forever, args=(0.01,))
    thread.start()
    yield endpoint
    endpoint.server.shutdown()
    endpoint.server.server_close()
    thread.join()


def test_nothing_is_wrong_in_an_empty_folder(command: Command):
    ended = command("doctor")
    assert ended.code == 0, ended.out
    assert "offline model" in ended.out
    assert ended.out.endswith("\nNothing is wrong.\n")
    assert not Path(".backchannel/backchannel.db").exists()


def test_all_wrong_settings_are_reported_with_what_can_be_checked_beside_them(doctor):
    code, found = doctor(
        env="production",
        debug="true",
        max_turns="many",
        secret_key="short",
        frobnicate="1",
        database_url="sqlite:///x.db",
    )
    assert code == 2
    problems = [message for state, message in found["settings"] if state == "problem"]
    assert [message.split()[0].rstrip(":") for message in problems] == [
        "BACKCHANNEL_SECRET_KEY",
        "BACKCHANNEL_MAX_TURNS",
        "BACKCHANNEL_AUTH",
        "BACKCHANNEL_DEBUG",
    ]
    assert any("FROBNICATE" in message for state, message in found["settings"] if state == "warning")
    assert found["database"][0][0] == "ok"
    assert found["model"][0][0] == "ok"


@pytest.mark.parametrize(
    ("status", "body", "state", "says"),
    [
        (200, {"data": [{"id": "some-model"}]}, "ok", "some-model"),
        (200, {"data": [{"id": "another"}]}, "warning", "BACKCHANNEL_MODEL"),
        # mvanhorn/cli-printing-press#1118: a page that is not the API was taken for it.
        (200, {"hello": "world"}, "warning", "is the URL right"),
        (401, {}, "problem", "OPENAI_API_KEY is refused"),
        (403, {}, "problem", "OPENAI_API_KEY is refused"),
        (404, {}, "warning", "does not list"),
        (429, {}, "warning", "429"),
        (503, {}, "problem", "503"),
    ],
)
def test_the_models_are_listed_and_never_called(doctor, endpoint: Endpoint, status, body, state, says):
    endpoint.status, endpoint.body = status, body
    code, found = doctor(openai_base_url=endpoint.url, openai_api_key=KEY, model="some-model")
    [(got, message)] = found["model"]
    assert (got, code) == (state, 2 if state == "problem" else 0)
    assert says in message
    assert endpoint.asked == [("/v1/models", f"Bearer {KEY}")]


def test_what_does_not_answer_is_a_problem_and_takes_no_longer_than_one_check(
    doctor, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
):
    """calchiwo/ExplainThisRepo#119: the exit code was 0 although the endpoint of the model failed."""
    monkeypatch.setattr(diagnosis, "PROBE_SECONDS", 1)
    endpoint.pause = 1.5
    code, found = doctor(
        openai_base_url=endpoint.url,
        openai_api_key=KEY,
        redis_url=f"redis://:{SECRET}@127.0.0.1:{free_port()}/0",
        database_url=f"postgresql://user:{SECRET}@127.0.0.1:{free_port()}/name",
        auth="jwt",
        jwt_jwks_url=f"http://127.0.0.1:{free_port()}/keys",
    )
    assert code == 2
    for check, word in {
        "model": "within",
        "redis": "BACKCHANNEL_REDIS_URL",
        "database": "BACKCHANNEL_DATABASE_URL",
        "token keys": "BACKCHANNEL_JWT_JWKS_URL",
    }.items():
        [(state, message)] = found[check]
        assert state == "problem"
        # On a busy machine the time may be over before the refusal is there.
        assert word in message or "within" in message, message


def test_a_clock_that_is_wrong_is_a_warning(doctor, endpoint: Endpoint):
    endpoint.headers = {"Date": formatdate(time.time() + 120, usegmt=True)}
    code, found = doctor(openai_base_url=endpoint.url, openai_api_key=KEY)
    [(state, message)] = found["model clock"]
    assert (code, state) == (0, "warning")
    assert "behind" in message
    assert findings.clock_finding("clock", -40).message.startswith("this machine is 40 s ahead")
    assert findings.clock_finding("clock", 29).state == "ok"


def test_files_that_others_may_read_are_reported(doctor, command: Command):
    assert command("db", "upgrade").code == 0
    Path(".backchannel/secret_key").write_text("k" * 64)
    for name, mode in (("secret_key", 0o644), ("backchannel.db", 0o640)):
        Path(".backchannel", name).chmod(mode)
    code, found = doctor()
    assert code == 2
    assert found["secret key"][0][0] == "problem"
    assert found["database file"][0][0] == "warning"
    assert "chmod 600" in found["database file"][0][1]
    Path(".backchannel/secret_key").chmod(0o600)
    Path(".backchannel/backchannel.db").chmod(0o600)
    code, found = doctor()
    assert code == 0
    assert found["tables"][0][0] == "ok"
    assert found["writes"] == [("ok", "accepted")]


def test_little_space_is_reported(doctor, monkeypatch: pytest.MonkeyPatch):
    usage = machine_probes.shutil.disk_usage(".")
    for free, state in ((50, "problem"), (500, "warning"), (5000, "ok")):
        monkeypatch.setattr(
            machine_probes.shutil, "disk_usage", lambda _, free=free: usage._replace(free=free << 20)
        )
        assert doctor()[1]["disk"][0][0] == state


def test_few_open_files_are_reported(doctor, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine_probes, "raise_open_files", lambda _: 1024)
    [(state, message)] = doctor()[1]["open files"]
    assert state == "warning"
    assert "ulimit" in message


def test_an_application_that_cannot_be_loaded_is_one_of_the_problems(doctor):
    code, found = doctor(app="no_such_module:agent")
    assert code == 2
    assert found["application"][0][0] == "problem"
    assert found["database"][0][0] == "ok"


def test_pending_migrations_are_a_problem_if_the_server_does_not_apply_them(doctor, use_database):
    Path(".backchannel").mkdir()
    Path(".backchannel/backchannel.db").touch(0o600)
    assert doctor()[1]["tables"][0][0] == "warning"
    code, found = doctor(database_migrate="false")
    assert (code, found["tables"][0][0]) == (2, "problem")
    assert "backchannel db upgrade" in found["tables"][0][1]


def test_keys_of_tokens_are_fetched(doctor, endpoint: Endpoint):
    key = RSAKey.generate_key(2048, private=True).as_dict(private=False)
    endpoint.body = {"keys": [key, {"kty": "OKP"}]}
    settings = {"auth": "jwt", "jwt_jwks_url": endpoint.url, "model": "offline"}
    assert doctor(**settings)[1]["token keys"] == [("ok", "1 usable keys are published")]
    for unusable in ([], [{"kty": "OKP"}], "keys"):
        endpoint.body = {"keys": unusable}
        code, found = doctor(**settings)
        assert (code, found["token keys"][0][0]) == (2, "problem"), unusable
        assert found["token keys"][0][1].startswith("BACKCHANNEL_JWT_JWKS_URL: ")


def test_keys_are_fetched_over_as_many_redirects_as_the_server_follows(doctor, endpoint: Endpoint):
    key = RSAKey.generate_key(2048, private=True).as_dict(private=False)
    endpoint.body = {"keys": [key]}
    settings = {"auth": "jwt", "jwt_jwks_url": f"{endpoint.url}/from/1", "model": "offline"}
    endpoint.redirects = MAX_REDIRECTS
    assert doctor(**settings)[1]["token keys"][0][0] == "ok"
    endpoint.redirects = MAX_REDIRECTS + 1
    code, found = doctor(**settings)
    assert (code, found["token keys"][0][0]) == (2, "problem")
    assert "redirects" in found["token keys"][0][1].lower()


def test_each_mcp_server_is_connected(doctor):
    Path("mcp.json").write_text(
        json.dumps(
            {
                "mcpServers": {
                    "there": {"command": sys.executable, "args": [str(SCRIPTS / "official.py"), "log"]},
                    "missing": {"command": "no-such-program", "env": {"TOKEN": SECRET}},
                    "needed": {"url": f"http://127.0.0.1:{free_port()}/mcp", "required": True},
                }
            }
        )
    )
    code, found = doctor(mcp_servers="mcp.json")
    assert code == 2
    assert found["mcp there"][0] == ("ok", found["mcp there"][0][1])
    assert found["mcp there"][0][1].endswith(" tools")
    assert found["mcp missing"][0][0] == "warning"
    assert "cannot be executed" in found["mcp missing"][0][1]
    assert found["mcp needed"][0][0] == "problem"


def test_an_mcp_server_that_does_not_stop_hides_no_other(doctor, monkeypatch: pytest.MonkeyPatch):
    async def server(configured: Any) -> findings.Finding:
        if configured.name == "stuck":
            await asyncio.Event().wait()
        return findings.Finding(f"mcp {configured.name}", "ok", "1 tools")

    servers = {name: {"command": "x"} for name in ("stuck", "there")}
    Path("mcp.json").write_text(json.dumps({"mcpServers": servers}))
    monkeypatch.setattr(endpoint_probes, "_mcp_server", server)
    monkeypatch.setattr(diagnosis, "PROBE_SECONDS", 0.5)
    code, found = doctor(mcp_servers="mcp.json")
    assert code == 2
    assert found["mcp there"] == [("ok", "1 tools")]
    assert found["mcp"][0][0] == "problem"


def test_a_probe_that_fails_in_an_unforeseen_way_does_not_hide_the_others(
    doctor, monkeypatch: pytest.MonkeyPatch
):
    async def broken(*_: object):
        yield findings.Finding("redis", "ok", "begins")
        raise ZeroDivisionError(f"while it used {SECRET}")

    monkeypatch.setitem(diagnosis.PROBES, "redis", broken)
    code, found = doctor(jwt_secret=SECRET)
    assert code == 2
    assert [state for state, _ in found["redis"]] == ["ok", "problem"]
    assert found["disk"]


@pytest.mark.skipif(os.name == "nt", reason="needs a terminal's output")
def test_lines_for_people_are_aligned(command: Command):
    lines = command("doctor", debug="maybe").out.splitlines()
    assert lines[0].startswith("problem  settings ")
    assert lines[-1].endswith("1 problems, 0 warnings")


@pytest.mark.row("F2b")
def test_the_issuer_of_logins_is_discovered(doctor, endpoint: Endpoint):
    """Down, of another issuer, without usable keys or PKCE, or with another time."""
    key = RSAKey.generate_key(2048, private=True).as_dict(private=False)
    right = {
        "issuer": endpoint.url,
        "authorization_endpoint": endpoint.url,
        "token_endpoint": endpoint.url,
        "jwks_uri": endpoint.url,
        "code_challenge_methods_supported": ["plain", "S256"],
        "keys": [key],
    }
    settings = {"auth": "oidc", "oidc_issuer": endpoint.url, "oidc_client_id": "x", "model": "offline"}
    secret = {"oidc_client_secret": SECRET}

    def found(*, ok: bool, **changed: Any) -> dict[str, list[tuple[str, str]]]:
        endpoint.body = {name: value for name, value in (right | changed).items() if value is not None}
        code, findings = doctor(**settings, **secret)
        assert code == (0 if ok else 2), findings
        return findings

    assert found(ok=True)["oidc"] == [("ok", "discovered, and its keys are published")]
    for changed, says in (
        ({"issuer": "https://evil.example"}, "must be exactly the same"),
        ({"issuer": f"{endpoint.url}/"}, "must be exactly the same"),
        ({"token_endpoint": None}, "token_endpoint"),
        ({"authorization_endpoint": "http://example.com"}, "https://"),
        ({"keys": []}, "no usable key"),
    ):
        [(state, message)] = found(ok=False, **changed)["oidc"]
        assert state == "problem"
        assert message.startswith("BACKCHANNEL_OIDC_ISSUER")
        assert says in message
    assert found(ok=True, code_challenge_methods_supported=["plain"])["oidc pkce"][0][0] == "warning"
    assert found(ok=True, code_challenge_methods_supported=None)["oidc pkce"][0][0] == "ok"
    [(state, message)] = found(ok=False, token_endpoint_auth_methods_supported=["private_key_jwt"])[
        "oidc client"
    ]
    assert "only by private_key_jwt" in message
    secret.clear()
    [(state, message)] = found(ok=False, code_challenge_methods_supported=["plain"])["oidc pkce"]
    assert (state, "BACKCHANNEL_OIDC_CLIENT_SECRET" in message) == ("problem", True)
    endpoint.headers = {"Date": formatdate(time.time() - 120, usegmt=True)}
    [(state, message)] = found(ok=True)["oidc clock"]
    assert (state, "ahead" in message) == ("warning", True)
    endpoint.status = 503
    assert found(ok=False)["oidc"] == [("problem", "BACKCHANNEL_OIDC_ISSUER: HTTP 503")]
    settings["oidc_issuer"] = f"http://127.0.0.1:{free_port()}"
    assert found(ok=False)["oidc"][0][0] == "problem"
