"""Settings of the answers: models, agents, tools, and the history that models get."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode

from backchannel.settings.lists import split_commas


class AnswerSettings(BaseSettings):
    """See the module."""

    model: str | None = Field(
        None,
        description="`offline`, or a model name such as `gpt-5.1` or `litellm/anthropic/…`. Default: offline "
        "without OPENAI_API_KEY, else the SDK's default model. Agents that name a model are not affected.",
    )
    models: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Comma-separated names of models that people may choose for a message (`inference_options.model`) "
        "in place of the default model. Default: none, and a message that names one is refused.",
    )
    model_api: Literal["responses", "chat_completions"] = Field(
        "responses", description="The OpenAI API that the model's endpoint supports."
    )
    agents: Literal["triage", "supervisor"] = Field(
        "triage",
        description="The architecture of the todo assistant: `triage` hands off to specialists, `supervisor` calls "
        "them as tools.",
    )
    after_hand_off: Literal["start-agent", "last-agent"] = Field(
        "start-agent",
        description="The agent that answers the message after a hand-off: the `start-agent`, as for the first message, "
        "or the `last-agent`, which answered the message before.",
    )
    titles: Literal["model", "rule"] = Field(
        "model",
        description="The source of thread titles: a `model`, unless the model is `offline`, or a `rule`.",
    )
    title_model: str | None = Field(
        None, description="The model for thread titles. Default: the default model."
    )
    max_turns: int = Field(20, ge=1, le=200, description="The most model calls per answer.")
    model_first_byte_seconds: float = Field(
        180,
        gt=0,
        description="The most seconds until a model begins to answer, with the client's own retries.",
    )
    model_between_bytes_seconds: float = Field(
        120, gt=0, description="The most seconds between two pieces of a model's answer."
    )
    model_total_seconds: float = Field(1800, gt=0, description="The most seconds for one answer of a model.")
    tool_timeout_seconds: float = Field(
        600,
        gt=0,
        le=86_400,
        description="Seconds after which the model gets an error in place of a tool's output. Tools with a time-out of "
        "their own, and agents that are called as tools, are not affected.",
    )
    tool_threads: int = Field(
        40, ge=1, le=1000, description="The most synchronous tools that run at the same time, per process."
    )
    mcp_servers: Path | None = Field(
        None,
        description="Path of a JSON file of MCP servers whose tools the first agent gets, such as `mcp.json`. "
        "Default: none. See docs/howto/connect-mcp-servers.md.",
    )
    history_tokens: int = Field(
        32_000, ge=500, description="Approximate tokens of earlier conversation in the model's input."
    )
    openai_api_key: SecretStr | None = Field(
        None,
        validation_alias="OPENAI_API_KEY",
        description="The API key of OpenAI or of a compatible endpoint.",
    )
    openai_base_url: str | None = Field(
        None,
        validation_alias="OPENAI_BASE_URL",
        description="The URL of a compatible endpoint. Default: OpenAI's.",
    )

    _split_models = field_validator("models", mode="before")(split_commas)

    @property
    def offline(self) -> bool:
        """Whether agents that name no model use the offline model."""
        return self.model == "offline" or (self.model is None and self.openai_api_key is None)
