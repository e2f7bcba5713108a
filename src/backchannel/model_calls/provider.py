"""Gives agents normalized models."""

from copy import copy
from typing import Any, cast, override
from weakref import WeakKeyDictionary

from agents import Agent, Model, ModelProvider, OpenAIChatCompletionsModel, OpenAIResponsesModel

from backchannel.model_calls.normalized_model import NormalizedModel
from backchannel.model_calls.timeouts import ModelTimeouts
from backchannel.models.openai_client import decoding_client


class NormalizedModels(ModelProvider):
    """Resolves names with another provider, and normalizes all models: its own and those that agents bring.

    There is one `NormalizedModel` for each model, so that what it learns of the model's context is shared.
    """

    def __init__(self, provider: ModelProvider, timeouts: ModelTimeouts) -> None:
        self._provider = provider
        self._timeouts = timeouts
        self._models: WeakKeyDictionary[Model, NormalizedModel] = WeakKeyDictionary()
        self._named: dict[str | None, NormalizedModel] = {}

    @override
    def get_model(self, model_name: str | None) -> Model:
        model = self._provider.get_model(model_name)
        known = self._named.get(model_name)
        # Providers may make a new object for each call.
        if known is None or type(known.inner) is not type(model):
            known = self._named[model_name] = NormalizedModel(model, self._timeouts)
        elif known.inner is not model:
            known.inner = model
        return known

    @override
    async def aclose(self) -> None:
        await self._provider.aclose()

    def prepare(self, agent: Agent[Any]) -> None:
        """Replace the model of an agent, and of the agents that are its tools, if it brings one of its own.

        The Agents SDK takes such a model from the agent, whatever the provider is.
        """
        seen = {id(agent)}
        agents: list[Agent[Any]] = [agent]
        for each in agents:
            if isinstance(each.model, Model) and not isinstance(each.model, NormalizedModel):
                each.model = self.normalized(each.model)
            for tool in each.tools:
                nested: object = getattr(tool, "_agent_instance", None)
                if isinstance(nested, Agent) and id(cast("object", nested)) not in seen:
                    seen.add(id(cast("object", nested)))
                    agents.append(cast("Agent[Any]", nested))

    def normalized(self, model: Model) -> NormalizedModel:
        """The normalized form of a model."""
        known = self._models.get(model)
        if known is None:
            known = self._models[model] = NormalizedModel(_with_decoder(model), self._timeouts)
        return known


def _with_decoder(model: Model) -> Model:
    """A copy of an OpenAI model whose client reads what compatible endpoints send; any other model itself."""
    if not isinstance(model, OpenAIChatCompletionsModel | OpenAIResponsesModel):
        return model
    copied: Any = copy(model)
    # There is no public access.
    copied._client = decoding_client(copied._client)  # noqa: SLF001
    return copied
