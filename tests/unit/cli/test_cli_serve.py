"""`backchannel serve`: what is wrong is said in one line with exit code 2, and nothing is served."""

import logging
import os
import socket
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
import structlog

from backchannel.cli import app
from backchannel.errors import ConfigurationError
from backchannel.hosting import network_disks
from backchannel.stores.sql.engine import Database
from backchannel.targets import load_target

PRODUCTION = {
    "ENV": "production",
    "AUTH": "jwt",
    "JWT_SECRET": "0123456789abcdef0123456789abcdef",
    "SECRET_KEY": "fedcba9876543210fedcba9876543210",
}

pytestmark = pytest.mark.row("F7", "H4", "A5")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Generator[pytest.MonkeyPatch]:
    """An empty folder and no settings; logging is afterwards as before."""
    for name in os.environ:
        if name.startswith(("BACKCHANNEL_", "OPENAI_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = list(root.handlers), root.level
    access = logging.getLogger("uvicorn.access")
    yield monkeypatch
    structlog.configure(**before)
    root.handlers, root.level = handlers, level
    access.propagate = True


def refusal(*arguments: str) -> str:
    """What the command line would print as it ends with exit code 2; the same code as in `main`."""
    with pytest.raises(ConfigurationError) as caught:
        app(["serve", *arguments], exit_on_error=False, print_error=False, result_action="return_value")
    assert "\n" not in caught.value.message
    return caught.value.message


@pytest.mark.parametrize(
    ("variables", "setting"),
    [
        ({"BACKCHANNEL_MAX_TURNS": "many"}, "BACKCHANNEL_MAX_TURNS: "),
        ({"BACKCHANNEL_ENV": "production"}, "BACKCHANNEL_AUTH"),
        ({"BACKCHANNEL_DATABASE_URL": "postgres//nonsense"}, "BACKCHANNEL_DATABASE_URL"),
        ({"BACKCHANNEL_DATABASE_URL": "sqlite:////dev/null/x.db"}, "BACKCHANNEL_DATABASE_URL"),
    ],
)
def test_other_wrong_settings(environment: pytest.MonkeyPatch, variables: dict[str, str], setting: str):
    for name, value in variables.items():
        environment.setenv(name, value)
    assert setting in refusal("--port", "0")


def test_a_database_file_that_is_none(environment: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "notes.db").write_text("These are my notes. " * 200)
    environment.setenv("BACKCHANNEL_DATABASE_URL", "sqlite:///notes.db")
    try:
        assert "BACKCHANNEL_DATABASE_URL" in refusal("--port", "0")
    finally:
        assert (tmp_path / "notes.db").read_text().startswith("These are my notes.")


@pytest.mark.usefixtures("environment")
def test_a_target_that_is_none():
    assert "'nowhere:agent'" in refusal("nowhere:agent", "--port", "0")


@pytest.mark.usefixtures("environment")
def test_a_port_in_use():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"127.0.0.1:{port}" in refusal("--port", str(port))


@pytest.mark.parametrize("spec", ["", "app", ":agent", "app:", ":"])
def test_what_does_not_name_a_target(spec: str):
    with pytest.raises(ConfigurationError, match="write module:attribute"):
        load_target(spec)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[str]:
    """A module in the working directory, which is where targets are looked up."""
    (tmp_path / "target_of_test.py").write_text(
        "from types import SimpleNamespace\nagent = 'it'\nbundle = SimpleNamespace(inner='deep')\n"
    )
    (tmp_path / "broken_target_of_test.py").write_text("import nothing_of_that_name\n")
    (tmp_path / "raising_target_of_test.py").write_text("raise RuntimeError('no key')\n")
    (tmp_path / "garbled_target_of_test.py").write_text("def\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield "target_of_test"
    # The next test has a file of this name in another folder.
    sys.modules.pop("target_of_test", None)


def test_a_target_in_the_working_directory(module: str):
    assert load_target(f"{module}:agent") == "it"
    assert load_target(f"{module}:bundle.inner") == "deep"


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("target_of_test:missing", "target_of_test has no missing"),
        ("target_of_test:bundle.missing", "has no bundle.missing"),
        ("no_such_module_anywhere:agent", "cannot be imported"),
        ("target_of_test.sub:agent", "cannot be imported"),
        ("broken_target_of_test:agent", "nothing_of_that_name"),
        ("raising_target_of_test:agent", "no key"),
        ("garbled_target_of_test:agent", "garbled_target_of_test"),
    ],
)
@pytest.mark.usefixtures("module")
def test_a_target_that_cannot_be_loaded(spec: str, reason: str):
    with pytest.raises(ConfigurationError) as caught:
        load_target(spec)
    assert repr(spec) in caught.value.message
    assert reason in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "url", ["", "nonsense", "oracle://h", "sqlite://h/db", "postgresql://h/db?x=1", "mysql://h"]
)
def test_a_database_that_is_not_supported(url: str):
    with pytest.raises(ConfigurationError, match="BACKCHANNEL_DATABASE_URL") as caught:
        Database(url)
    assert "\n" not in caught.value.message


def test_a_databases_password_is_not_repeated():
    with pytest.raises(ConfigurationError) as caught:
        Database("oracle://ann:hunter2@host/db")
    assert "hunter2" not in caught.value.message


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what a disk is")
def test_several_workers_with_sqlite_on_a_network_disk(environment: pytest.MonkeyPatch, tmp_path: Path):
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"30 22 0:25 / {tmp_path} rw - nfs4 files:/export rw\n")
    environment.setattr(network_disks, "MOUNTS", mounts)
    for name, value in PRODUCTION.items():
        environment.setenv(f"BACKCHANNEL_{name}", value)
    message = refusal("--port", "0", "--workers", "2")
    assert "BACKCHANNEL_DATABASE_URL" in message
    assert "nfs4" in message
