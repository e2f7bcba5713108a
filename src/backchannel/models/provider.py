"""Finds the model that an agent asks for, or answers with the server's own when it asks for none."""

from typing import override

from agents import Model, ModelProvider
from agents.models.multi_provider import MultiProvider

from backchannel.models.offline import OfflineModel
from backchannel.models.openai_client import OpenAIClient
from backchannel.settings import Settings

OFFLINE_NAME = "offline"


class Models(ModelProvider):
    """The models of one server.

    - An agent without a model gets the server's: `BACKCHANNEL_MODEL`, or the offline stand-in without a key.
    - An agent that names a model gets that one, whatever the server's is.
    - A name with a provider's prefix, such as `litellm/…`, goes to that provider.

    Args:
        settings: Configure the default model and the client of its endpoint.
        offline: The stand-in to use in place of `OfflineModel()`.
    """

    def __init__(self, settings: Settings, offline: Model | None = None) -> None:
        self._default = None if settings.offline else settings.model
        self._offline = settings.offline
        key = settings.openai_api_key
        # With another endpoint a name such as "meta/llama" is the endpoint's own, not a provider's prefix,
        # and many such endpoints need no key while the client insists on one.
        own_endpoint = settings.openai_base_url is not None
        secret = key.get_secret_value() if key else ("none" if own_endpoint else None)
        # A client of our own: the SDK's shared one belongs to the first event loop that uses it. Without a
        # key there is none, and an agent that names a model gets the SDK's error for that.
        self._client = OpenAIClient(api_key=secret, base_url=settings.openai_base_url) if secret else None
        self._providers = MultiProvider(
            openai_client=self._client,
            openai_use_responses=settings.model_api == "responses",
            unknown_prefix_mode="model_id" if own_endpoint else "error",
        )
        self._stand_in = offline or OfflineModel()

    @override
    def get_model(self, model_name: str | None) -> Model:
        if model_name == OFFLINE_NAME or (model_name is None and self._offline):
            return self._stand_in
        return self._providers.get_model(model_name or self._default)

    @override
    async def aclose(self) -> None:
        await self._providers.aclose()
        if self._client is not None:
            await self._client.close()
