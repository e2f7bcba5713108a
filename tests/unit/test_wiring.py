"""What can be served, and what is said of what cannot (A5, F7)."""

from pathlib import Path
from typing import Any

import pytest
from agents import Agent, Model

from backchannel import OfflineModel
from backchannel.application import Application
from backchannel.authenticators.anonymous import AnonymousAuthenticator
from backchannel.chat.agent.server import ChatServer
from backchannel.errors import ConfigurationError, NotRunningError
from backchannel.settings import Settings, unknown_settings
from backchannel.targets import load_target
from backchannel.testing import ScriptedModel
from backchannel.todo.offline import TodoOfflineModel
from backchannel.wiring import build
from backchannel.wiring.access import cookie_format, write_origins

pytestmark = pytest.mark.row("A5", "F7")

AGENT = Agent(name="A")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def of_settings(settings: Settings) -> Agent[Any]:
    return Agent(name=settings.env)


@pytest.mark.parametrize(
    "target", [AGENT, lambda: AGENT, lambda: Application(agent=AGENT), lambda database: AGENT]
)
def test_an_agent_comes_in_several_ways(target: Any) -> None:
    server = build(Settings.load(), target).server
    assert isinstance(server, ChatServer)
    assert server.agent is AGENT


def test_a_factory_may_ask_for_the_settings() -> None:
    server = build(Settings.load(), of_settings).server
    assert isinstance(server, ChatServer)
    assert server.agent.name == "development"


async def asynchronous(settings: Settings) -> Agent[Any]:
    return Agent(name=settings.env)


async def test_an_asynchronous_factory_is_called_once_when_the_server_starts() -> None:
    backchannel = build(Settings.load(database_url="sqlite://"), asynchronous)
    with pytest.raises(NotRunningError, match="running"):
        _ = backchannel.server
    async with backchannel.running():
        assert isinstance(backchannel.server, ChatServer)
        assert backchannel.server.agent.name == "development"


def offline_model(target: Any) -> Model:
    models = build(Settings.load(), target).parts.models
    assert models is not None
    return models.get_model(None)


def test_an_application_brings_its_own_offline_model() -> None:
    own = ScriptedModel()
    assert offline_model(Application(agent=AGENT, offline_model=own)) is own
    assert type(offline_model(Application(agent=AGENT))) is OfflineModel
    assert type(offline_model(AGENT)) is OfflineModel


def test_the_todo_assistant_brings_one_that_understands_todos() -> None:
    assert isinstance(offline_model(load_target("backchannel.todo:assistant")), TodoOfflineModel)


def raising() -> Agent[Any]:
    raise ValueError("two\nlines")


@pytest.mark.parametrize(
    ("target", "says"),
    [
        (raising, "ValueError: two lines"),
        (lambda: 42, "int"),
        (lambda nobody_knows: AGENT, "nobody_knows"),
        ("text", "str"),
        (None, "NoneType"),
    ],
)
def test_what_cannot_be_served_is_told_in_one_line(target: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as error:
        build(Settings.load(), target)
    assert "\n" not in error.value.message


def test_names_that_are_no_settings_are_found() -> None:
    environment = {
        "BACKCHANNEL_ENV": "x",
        "BACKCHANNEL_DATABSE_URL": "x",
        "BACKCHANNEL_TOKEN": "x",
        "HOME": "x",
    }
    assert unknown_settings(environment) == ["BACKCHANNEL_DATABSE_URL"]


def test_an_applications_authenticators_win_over_the_settings() -> None:
    own = AnonymousAuthenticator(b"key", cookie_format(Settings.load()), write_origins(Settings.load()))
    application = Application(agent=AGENT, authenticators=[own])
    assert build(Settings.load(), application).parts.authenticators == [own]
    assert build(Settings.load(auth="application"), application).parts.authenticators == [own]


def test_authenticators_that_the_settings_expect_must_be_there() -> None:
    with pytest.raises(ConfigurationError, match="BACKCHANNEL_AUTH has application"):
        build(Settings.load(auth="application"), Application(agent=AGENT))
