"""The key, client and API that an application set as defaults of the Agents SDK: `set_default_openai_key`,
`set_default_openai_client`, `set_default_openai_api`."""

from agents.models import _openai_shared as shared  # there is no public access
from openai import AsyncOpenAI
from pydantic import SecretStr

from backchannel.settings import Settings

NO_KEY = "none"
"""Stands for the key of a client that has none, such as one with a token provider."""


def default_client() -> AsyncOpenAI | None:
    """The application's client; `None` if it set none."""
    return shared.get_default_openai_client()


def with_sdk_defaults(settings: Settings) -> Settings:
    """The settings with what the application set. Its client or key wins over `OPENAI_API_KEY`, as in the Agents SDK;
    `BACKCHANNEL_MODEL_API` wins over its API. Reads them once: the application sets them before its agent is served."""
    changes: dict[str, object] = {}
    client, key = default_client(), shared.get_default_openai_key()
    if client is not None:
        changes["openai_api_key"] = SecretStr(client.api_key or NO_KEY)
    elif key is not None:
        changes["openai_api_key"] = SecretStr(key)
    if not shared.get_use_responses_by_default() and "model_api" not in settings.model_fields_set:
        changes["model_api"] = "chat_completions"
    return settings.model_copy(update=changes) if changes else settings
