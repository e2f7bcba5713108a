"""Targets as people name and write them: each that cannot be served gets one line that says what to change."""

import sys
from collections.abc import Generator
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


PATHS = [
    "app_of_test.py",
    "./app_of_test.py",
    "app_of_test/agent.py",
    "app_of_test/agent",
    "app_of_test\\agent.py",
]


@pytest.fixture
def forgotten() -> Generator[None]:
    """The modules of a test are forgotten after it: the next one has files of these names in another folder."""
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.usefixtures("forgotten")
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("here", [True, False])
def test_a_module_may_be_named_by_its_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch, path: str, here: bool
) -> None:
    """openai/openai-agents-python#291, aws/bedrock-agentcore-starter-toolkit#426, AntonOsika/gpt-engineer#485: people
    write the path that they see. It worked only as a module, from the right folder."""
    name = path.replace("\\", "/").removesuffix(".py")
    file = folder / f"{name}.py"
    file.parent.mkdir(exist_ok=True)
    file.write_text(AGENT)
    if not here:
        (folder / "elsewhere").mkdir()
        monkeypatch.chdir(folder / "elsewhere")
        path = f"../{path}"
    assert load_target(f"{path}:agent").name == "A"


@pytest.mark.usefixtures("forgotten")
def test_a_file_finds_its_siblings_and_its_package(folder: Path) -> None:
    """openai/openai-agents-python examples/financial_research_agent/manager.py and
    examples/sandbox/tutorials/dataroom_metric_extract/main.py: one imports from its package, one as a script does."""
    (folder / "shop_of_test" / "parts").mkdir(parents=True)
    (folder / "shop_of_test" / "main.py").write_text(
        "from .parts.helper_of_test import agent\nfrom sibling_of_test import other\n"
    )
    (folder / "shop_of_test" / "parts" / "helper_of_test.py").write_text(AGENT)
    (folder / "shop_of_test" / "sibling_of_test.py").write_text("other = 1\n")
    assert load_target("shop_of_test/main.py:agent").name == "A"


@pytest.mark.usefixtures("forgotten")
def test_a_file_elsewhere_belongs_to_its_packages(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """examples/research_bot/agents/planner_agent.py, from a folder beside it."""
    package = folder / "bot_of_test" / "parts"
    package.mkdir(parents=True)
    for each in (package.parent / "__init__.py", package / "__init__.py"):
        each.touch()
    (package.parent / "shared.py").write_text(AGENT)
    (package / "main.py").write_text("from ..shared import agent\n")
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    assert load_target(f"{package / 'main.py'}:agent").name == "A"


@pytest.mark.usefixtures("forgotten")
def test_a_file_whose_name_is_no_identifier(folder: Path) -> None:
    (folder / "my-agents").mkdir()
    (folder / "my-agents" / "hello-world.py").write_text(AGENT)
    assert load_target("my-agents/hello-world.py:agent").name == "A"


def test_a_file_with_a_dot_in_its_name_is_refused(folder: Path) -> None:
    (folder / "app.v2.py").write_text(AGENT)
    assert "rename" in refusal("app.v2.py:agent")


def test_a_file_in_a_folder_with_the_name_of_a_package_is_refused(folder: Path) -> None:
    """openai/openai-agents-python examples/financial_research_agent/agents, from the folder above."""
    (folder / "agents").mkdir()
    (folder / "agents" / "search.py").write_text(AGENT)
    message = refusal("agents/search.py:agent")
    assert str(folder / "agents" / "search.py") in message
    assert "rename" in message.lower()


@pytest.mark.parametrize("path", ["/nowhere_of_test/app.py", "../app_of_test.py", "app_of_test.py"])
def test_a_file_that_is_not_there_is_named(path: str) -> None:
    assert f"there is no file {Path(path).absolute()}" in refusal(f"{path}:agent")


@pytest.mark.usefixtures("forgotten")
def test_a_name_that_is_not_there_is_answered_with_those_that_are(folder: Path) -> None:
    """openai/openai-agents-python examples/: the agent is called `triage_agent`, or there is one in `main` alone."""
    (folder / "two_of_test.py").write_text(f"{AGENT}triage_agent = Agent(name='T')\n_hidden = agent\n")
    assert refusal("two_of_test:agnet").endswith("It has: agent, triage_agent.")
    (folder / "none_of_test.py").write_text("async def main(): pass\n")
    assert "a function that returns one" in refusal("none_of_test.py:agent")
    assert "such as two_of_test.py:agent" in refusal("two_of_test.py")


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
