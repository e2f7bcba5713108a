"""Resolves the models of agents."""

import os
import sys
from typing import override

from agents import Model, ModelProvider, UserError
from agents.models.multi_provider import MultiProvider
from openai import AsyncOpenAI

from backchannel.errors import ConfigurationError
from backchannel.models.offline import OfflineModel
from backchannel.models.openai_client import OpenAIClient
from backchannel.settings import Settings

OFFLINE_NAME = "offline"


class Models(ModelProvider):
    """The model provider of one server.

    - An agent without a model gets the default: `BACKCHANNEL_MODEL`, or the offline model without an API key.
    - An agent that names a model gets that model.
    - A name with a provider's prefix, such as `litellm/…`, is resolved by that provider.

    Args:
        settings: The default model, the API key and the endpoint.
        offline: The offline model to use in place of `OfflineModel()`.
        client: The client to use in place of one with that key and endpoint. It is not closed.
    """

    def __init__(
        self, settings: Settings, offline: Model | None = None, client: AsyncOpenAI | None = None
    ) -> None:
        self._default = None if settings.offline else settings.model
        self._offline = settings.offline
        key = settings.openai_api_key
        # With a custom endpoint, "meta/llama" is a model name and not a provider's prefix. Many custom endpoints need
        # no key, but the client requires one.
        custom_endpoint = client is not None or settings.openai_base_url is not None
        secret = key.get_secret_value() if key else ("none" if custom_endpoint else None)
        # The SDK's shared client is bound to the first event loop that uses it. Without a key there is no client, and
        # an agent that names a model gets the SDK's error.
        self._client = (
            OpenAIClient(api_key=secret, base_url=settings.openai_base_url)
            if secret and client is None
            else None
        )
        self._providers = MultiProvider(
            openai_client=client or self._client,
            openai_use_responses=settings.model_api == "responses",
            unknown_prefix_mode="model_id" if custom_endpoint else "error",
        )
        self._offline_model = offline or OfflineModel()

    @override
    def get_model(self, model_name: str | None) -> Model:
        if model_name == OFFLINE_NAME or (model_name is None and self._offline):
            return self._offline_model
        return self._providers.get_model(model_name or self._default)

    def check(self, setting: str, name: str) -> None:
        """Check that the library of a model with a prefix is there, and import it. That takes seconds, for which the
        first message would stop the event loop.

        Args:
            setting: The setting that names the model.

        Raises:
            ConfigurationError: No provider has this prefix, or its library is not installed.
        """
        if "/" not in name:
            return
        if name.startswith("litellm/"):
            # It asks GitHub for prices when it is imported, which nothing here needs, and waits seconds for an answer.
            os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        try:
            self._providers.get_model(name)
        except ImportError as error:
            raise ConfigurationError(
                f"{setting} names {name}, whose library is not installed: {_hint(name, error)}"
            ) from error
        except UserError as error:
            raise ConfigurationError(
                f"{setting} names {name}, and no provider has the prefix {name.partition('/')[0]!r}. Models of other "
                f"providers are litellm/{name}; those of an endpoint of your own need OPENAI_BASE_URL."
            ) from error
        quiet_litellm()

    @override
    async def aclose(self) -> None:
        await self._providers.aclose()
        if self._client is not None:
            await self._client.close()


def quiet_litellm() -> None:
    """Keep LiteLLM, if it is loaded, from printing hints in colour to the standard output, between the lines of the
    log."""
    if (litellm := sys.modules.get("litellm")) is not None:
        setattr(litellm, "suppress_debug_info", True)  # noqa: B010 - the library is optional


def _hint(name: str, error: ImportError) -> str:
    return "pip install 'backchannel[litellm]'" if name.startswith("litellm/") else str(error)
