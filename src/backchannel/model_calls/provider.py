"""Gives agents normalized models."""

from collections.abc import AsyncIterator
from copy import copy
from typing import Any, cast, override
from weakref import WeakKeyDictionary

from agents import Agent, Model, ModelProvider, OpenAIChatCompletionsModel, OpenAIResponsesModel

from backchannel.model_calls.metering import NO_METERING, Metering
from backchannel.model_calls.normalized_model import NormalizedModel
from backchannel.model_calls.timeouts import ModelTimeouts
from backchannel.models.event_stream import record_chunks
from backchannel.models.openai_client import decoding_client


class NormalizedModels(ModelProvider):
    """Resolves names with another provider, and normalizes all models: its own and those that agents bring.

    There is one `NormalizedModel` for each model, so that what it learns of the model's context is shared.
    """

    def __init__(
        self, provider: ModelProvider, timeouts: ModelTimeouts, metering: Metering = NO_METERING
    ) -> None:
        self._provider = provider
        self._timeouts = timeouts
        self._metering = metering
        self._models: WeakKeyDictionary[Model, NormalizedModel] = WeakKeyDictionary()
        self._named: dict[str | None, tuple[Model, NormalizedModel]] = {}

    def of(self, provider: ModelProvider) -> "NormalizedModels":
        """The models of another provider, with the same limits."""
        return NormalizedModels(provider, self._timeouts, self._metering)

    @override
    def get_model(self, model_name: str | None) -> Model:
        model = self._provider.get_model(model_name)
        source, known = self._named.get(model_name, (None, None))
        if known is None:
            known = NormalizedModel(_observed(model), self._timeouts, self._metering)
        elif source is not model:
            # Providers may make a new object for each call.
            known.inner = _observed(model)
        self._named[model_name] = model, known
        return known

    @override
    async def aclose(self) -> None:
        await self._provider.aclose()

    @property
    def limited(self) -> bool:
        """Whether there are budgets, so that no call may pass by."""
        return self._metering.ledger is not None

    def prepare(self, agent: Agent[Any]) -> None:
        """Replace the model of an agent, if it brings one of its own.

        The Agents SDK takes such a model from the agent, whatever the provider is.
        """
        if isinstance(agent.model, Model) and not isinstance(agent.model, NormalizedModel):
            agent.model = self.normalized(agent.model)

    def normalized(self, model: Model) -> NormalizedModel:
        """The normalized form of a model."""
        known = self._models.get(model)
        if known is None:
            known = self._models[model] = NormalizedModel(_observed(model), self._timeouts, self._metering)
        return known


def _observed(model: Model) -> Model:
    """A copy of a model over Chat Completions whose chunks are read by Backchannel, too; any other model itself.

    The clients of OpenAI's models decode with `EventStreamDecoder`. Others, such as LiteLLM's, are only observed: the
    Agents SDK does not pass on why an answer ended.
    """
    fetch = getattr(model, "_fetch_response", None)
    if fetch is None:
        return model
    # There is no public access.
    copied: Any = copy(model)
    if isinstance(model, OpenAIChatCompletionsModel | OpenAIResponsesModel):
        # A model that was given no client makes one for its first call. It is the model's own, and not the copy's: the
        # application can use and close it.
        own: Any = model
        client = own._client if own._client is not None else own._get_client()  # noqa: SLF001
        copied._client = decoding_client(client)  # noqa: SLF001
        return copied

    async def fetch_response(*args: Any, **options: Any) -> Any:
        fetched = await fetch(*args, **options)
        if not isinstance(fetched, tuple):
            return fetched
        response, stream = cast("tuple[Any, AsyncIterator[Any]]", fetched)
        return response, record_chunks(stream)

    copied._fetch_response = fetch_response  # noqa: SLF001
    return copied
