"""Which model an agent gets (A5)."""

import sys

import pytest
from agents import Agent
from agents.models.openai_responses import OpenAIResponsesModel

from backchannel import OfflineModel
from backchannel.errors import ConfigurationError
from backchannel.models.provider import Models
from backchannel.settings import Settings
from backchannel.testing import ScriptedModel
from backchannel.wiring import build

pytestmark = pytest.mark.row("A5")

OWN = ScriptedModel()


def test_the_built_in_offline_model_answers_without_a_key() -> None:
    models = Models(Settings.model_validate({}))
    assert type(models.get_model(None)) is OfflineModel
    assert models.get_model("offline") is models.get_model(None)


def test_an_offline_model_of_ones_own_takes_its_place() -> None:
    models = Models(Settings.model_validate({}), OWN)
    assert models.get_model(None) is OWN
    assert models.get_model("offline") is OWN


@pytest.mark.parametrize("offline", [None, OWN])
async def test_a_configured_model_answers_in_place_of_either(offline: ScriptedModel | None) -> None:
    models = Models(Settings.model_validate({"OPENAI_API_KEY": "sk-x", "model": "small-1"}), offline)
    model = models.get_model(None)
    assert isinstance(model, OpenAIResponsesModel)
    assert model.model == "small-1"
    await models.aclose()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"model": "litellm/anthropic/claude"},
            "BACKCHANNEL_MODEL names .*pip install 'backchannel\\[litellm\\]'",
        ),
        ({"title_model": "litellm/anthropic/claude"}, "BACKCHANNEL_TITLE_MODEL names"),
        ({"models": "small, any-llm/mistral/x"}, "BACKCHANNEL_MODELS names any-llm/mistral/x, .*any-llm"),
        ({"model": "anthropic/claude"}, "no provider has the prefix 'anthropic'.*litellm/anthropic/claude"),
    ],
    ids=["litellm", "for titles", "any-llm", "unknown prefix"],
)
@pytest.mark.row("A5b")
def test_a_model_whose_library_is_missing_is_refused_at_the_start(
    settings: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """openai/openai-agents-python#1098: at the first message it is too late."""
    for library in ("litellm", "any_llm"):
        for name in [each for each in sys.modules if each.partition(".")[0] == library]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, library, None)
    # Another test may have loaded the models that keep it.
    for name in [each for each in sys.modules if each.startswith("agents.extensions.models.")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ConfigurationError, match=message):
        build(Settings.load(**settings), Agent(name="A"))


def test_with_an_endpoint_of_its_own_a_prefix_is_part_of_the_name() -> None:
    build(Settings.load(model="meta/llama", OPENAI_BASE_URL="http://127.0.0.1:9/v1"), Agent(name="A"))
