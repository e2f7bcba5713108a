"""What can be served, and what is said of what cannot (A5, F7)."""

from pathlib import Path
from typing import Any

import pytest
from agents import Agent, Model

from backchannel import OfflineModel
from backchannel.bundle import Bundle
from backchannel.chat.server import ChatServer
from backchannel.errors import ConfigurationError
from backchannel.settings import Settings, unknown_settings
from backchannel.testing import ScriptedModel
from backchannel.todo.offline import TodoOfflineModel
from backchannel.wiring import build, load_target

pytestmark = pytest.mark.row("A5", "F7")

AGENT = Agent(name="A")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def of_settings(settings: Settings) -> Agent[Any]:
    return Agent(name=settings.env)


@pytest.mark.parametrize("target", [AGENT, lambda: AGENT, lambda: Bundle(AGENT), lambda database: AGENT])
def test_an_agent_comes_in_several_ways(target: Any) -> None:
    server = build(Settings.load(), target).server
    assert isinstance(server, ChatServer)
    assert server.agent is AGENT


def test_a_factory_may_ask_for_the_settings() -> None:
    server = build(Settings.load(), of_settings).server
    assert isinstance(server, ChatServer)
    assert server.agent.name == "development"


def offline_model(target: Any) -> Model:
    models = build(Settings.load(), target).models
    assert models is not None
    return models.get_model(None)


def test_an_application_brings_its_own_offline_model() -> None:
    own = ScriptedModel()
    assert offline_model(Bundle(AGENT, offline_model=own)) is own
    assert type(offline_model(Bundle(AGENT))) is OfflineModel
    assert type(offline_model(AGENT)) is OfflineModel


def test_the_todo_assistant_brings_one_that_understands_todos() -> None:
    assert isinstance(offline_model(load_target("backchannel.todo:assistant")), TodoOfflineModel)


async def asynchronous() -> Agent[Any]:
    return AGENT


def raising() -> Agent[Any]:
    raise ValueError("two\nlines")


@pytest.mark.parametrize(
    ("target", "says"),
    [
        (asynchronous, "plain function"),
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
