"""Targets as people name and write them: each that cannot be served gets one line that says what to change."""

import sys
from pathlib import Path

import pytest

from backchannel.errors import ConfigurationError
from backchannel.targets import load_target
from processes import Process

pytestmark = pytest.mark.row("H4")

AGENT = "from agents import Agent\nagent = Agent(name='A')\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def refusal(spec: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_target(spec)
    assert "\n" not in caught.value.message
    assert repr(spec) in caught.value.message
    return caught.value.message


@pytest.mark.parametrize("name", ["agents", "mcp", "openai", "json"])
@pytest.mark.parametrize("attribute", ["agent", "app", "extensions"])
def test_a_file_with_the_name_of_a_package_is_refused_by_name(
    folder: Path, name: str, attribute: str
) -> None:
    """openai/openai-agents-python#291, FoundationAgents/OpenManus#1410, crewAIInc/crewAI#35,
    huggingface/smolagents#278: the error spoke of circular imports, or of what the package does not have."""
    file = folder / f"{name}.py"
    file.write_text(AGENT)
    message = refusal(f"{name}:{attribute}")
    assert str(file) in message
    assert str(sys.modules[name].__file__) in message
    assert "rename" in message.lower()


def test_a_folder_with_the_name_of_a_package_is_refused_too(folder: Path) -> None:
    """FoundationAgents/OpenManus#1410"""
    (folder / "agents").mkdir()
    (folder / "agents" / "__init__.py").touch()
    (folder / "agents" / "main.py").write_text(AGENT)
    assert str(folder / "agents") in refusal("agents.main:agent")


def test_an_installed_package_may_be_a_target(folder: Path) -> None:
    """Only a file of one's own beside it makes its name ambiguous."""
    (folder / "agents.txt").touch()
    assert load_target("agents:Agent") is sys.modules["agents"].Agent


@pytest.mark.parametrize(
    ("spec", "advice"),
    [
        ("app.py:agent", "app:agent"),
        ("./app.py:agent", "app:agent"),
        ("app/agent.py:agent", "app.agent:agent"),
        ("app/agent:agent", "app.agent:agent"),
        ("app\\agent.py:agent", "app.agent:agent"),
    ],
)
def test_the_path_of_a_file_gets_the_name_to_write(folder: Path, spec: str, advice: str) -> None:
    """openai/openai-agents-python#291: "No module named 'app.py'; 'app' is not a package"."""
    (folder / "app.py").write_text(AGENT)
    assert f"write {advice}" in refusal(spec)


@pytest.mark.parametrize("path", ["/srv/app.py", "../app.py"])
def test_the_path_of_a_file_elsewhere_gets_advice_too(path: str) -> None:
    assert "folder" in refusal(f"{path}:agent")


@pytest.mark.parametrize(
    "code", ["raise SystemExit", "import sys; sys.exit('no key')", "raise BaseException('no key')"]
)
def test_a_module_that_exits_is_named(folder: Path, code: str) -> None:
    """stoatchat/python-client-sdk#40: the command ended without a word."""
    (folder / "exiting_target_of_test.py").write_text(code)
    message = refusal("exiting_target_of_test:agent")
    assert "cannot be imported" in message
    assert "no key" in message or "SystemExit" in message


async def test_a_command_run_as_a_module_loads_its_own_libraries(folder: Path) -> None:
    """openai/openai-agents-python#291: the file of the working directory took the place of the library."""
    (folder / "cyclopts.py").write_text("raise RuntimeError('not the library')")
    process = Process(folder / "log")
    process.execute([sys.executable, "-m", "backchannel", "--version"])
    try:
        await process.ended(30)
    finally:
        await process.kill()
    assert process.exit_code == 0, process.told()
