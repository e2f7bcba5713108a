"""Which model an agent gets (A5)."""

import pytest
from agents.models.openai_responses import OpenAIResponsesModel

from backchannel import OfflineModel
from backchannel.models.provider import Models
from backchannel.settings import Settings
from backchannel.testing import ScriptedModel

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
