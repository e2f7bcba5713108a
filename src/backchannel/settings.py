"""The settings. Only this module reads the environment.

Each setting is `BACKCHANNEL_<NAME>` in the environment or in a `.env` file in the working directory; the environment
takes precedence. `.env.example` lists them all. `OPENAI_API_KEY` and `OPENAI_BASE_URL` have their usual names.
"""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from backchannel.errors import ConfigurationError

DATA_FOLDER = Path(".backchannel")
MIN_SECRET_BYTES = 32
"""RFC 7518 section 3.2: an HS256 key must be at least as long as the hash, 256 bits."""

type AuthMethod = Literal["anonymous", "jwt", "application"]


class Settings(BaseSettings):
    """The settings, read once at startup. An invalid value stops the server with one line that names the setting."""

    model_config = SettingsConfigDict(
        env_prefix="BACKCHANNEL_",
        env_file=".env",
        env_file_encoding="utf-8",
        extra="ignore",
        frozen=True,
        env_ignore_empty=True,
    )

    env: Literal["development", "production"] = Field(
        "development", description="`development` needs no login; `production` rejects unsafe settings."
    )
    app: str = Field(
        "backchannel.todo:assistant",
        description="The served application, as `module:attribute`: an Agent, an Application, a ChatKitServer or its "
        "class, or a function that returns one. The default for the commands `serve`, `db`, `export` and `erase`.",
    )
    database_url: str = Field(
        f"sqlite:///{DATA_FOLDER}/backchannel.db",
        description="The URL of the database: `sqlite:///PATH`, `postgresql://USER:PASSWORD@HOST/NAME` or "
        "`mysql://USER:PASSWORD@HOST/NAME` (MariaDB too).",
    )
    database_migrate: bool = Field(
        True,
        description="Whether the server applies pending migrations at startup. If not, it does not start before "
        "`backchannel db upgrade` has applied them.",
    )
    database_pool_size: int = Field(5, ge=1, le=1000, description="Open connections per process.")
    database_max_overflow: int = Field(
        10, ge=0, le=1000, description="Further connections per process under load."
    )
    database_pool_timeout_seconds: float = Field(
        5,
        gt=0,
        le=60,
        description="Longest wait for a free connection before a request fails with 503, in seconds.",
    )
    database_pool_recycle_seconds: int = Field(
        1800,
        ge=-1,
        description="Age in seconds from which a connection is replaced before use; -1 for never.",
    )
    database_pool_pre_ping: bool = Field(
        True, description="Whether to test a connection that was idle for more than a second before use."
    )
    database_statement_timeout_seconds: float = Field(
        30,
        gt=0,
        le=3600,
        description="Timeout of a statement in seconds; on SQLite, of the wait for the write lock.",
    )
    database_request_timeout_seconds: float = Field(
        3,
        gt=0,
        le=300,
        description="Longest time that a transaction of a request may take, in seconds, with all waits and tries. The "
        "request then fails with 503. Not on SQLite. Answers in progress wait for 45 seconds.",
    )
    retention_days: int | None = Field(
        None,
        ge=1,
        description="Days without activity after which threads are deleted, with everything in them, and age at which "
        "runs and usage are deleted. Default: never.",
    )
    redis_url: SecretStr | None = Field(
        None,
        description="`redis://[:PASSWORD@]HOST:PORT/DB` (or `rediss://`): carries run events and handovers between "
        "replicas. Default: the database does. Each deployment needs its own Redis database.",
    )
    public_url: str | None = Field(
        None, description="The public URL, such as `https://chat.example.com`. Default: that of each request."
    )
    secret_key: SecretStr | None = Field(
        None,
        description="The key that signs session cookies, at least 32 bytes. Default in development: generated and "
        "stored in `.backchannel/`.",
    )
    auth: Annotated[tuple[AuthMethod, ...], NoDecode] = Field(
        ("anonymous",),
        description="Comma-separated authentication methods, tried in order: `anonymous`, `jwt`, or `application` for "
        "the application's own. No default in production.",
    )
    jwt_secret: SecretStr | None = Field(
        None, description="The HS256 key of bearer tokens, at least 32 bytes."
    )
    jwt_issuer: str | None = Field(None, description="The required `iss` of bearer tokens.")
    jwt_audience: str | None = Field(None, description="The required `aud` of bearer tokens.")
    jwt_leeway_seconds: int = Field(
        30, ge=0, le=300, description="Tolerated clock difference for `exp`, `nbf` and `iat`, in seconds."
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Comma-separated origins of pages that may send requests. In development, loopback origins may, "
        "too.",
    )
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
    heartbeat_seconds: float = Field(
        15,
        gt=0,
        le=120,
        description="Seconds without an event after which a stream sends a comment as a heartbeat.",
    )
    on_disconnect: Literal["continue", "cancel"] = Field(
        "continue",
        description="Whether a run continues or is cancelled when its client disconnects.",
    )
    while_running: Literal["reject", "enqueue", "interrupt"] = Field(
        "enqueue",
        description="How to handle a message to a thread with a run in progress: reject it, queue it, or cancel that "
        "run.",
    )
    while_waiting: Literal["decline", "reject"] = Field(
        "decline",
        description="What happens to a message to a conversation in which tools wait for approval: it declines them, "
        "or it is refused until the person has decided.",
    )
    run_retention_seconds: int = Field(
        600,
        ge=5,
        le=86_400,
        description="Seconds after its end for which a run's event stream can be resumed.",
    )
    lease_seconds: float = Field(
        10,
        ge=1,
        le=300,
        description="Seconds without a heartbeat after which a replica counts as dead and its runs are taken over.",
    )
    shutdown_seconds: float = Field(
        20,
        ge=0,
        le=600,
        description="Seconds after SIGTERM for runs to end before they are handed over to other replicas.",
    )
    max_body_bytes: int = Field(1_048_576, ge=1024, description="Largest request body, in bytes.")
    max_message_chars: int = Field(32_000, ge=1, description="Longest message, in characters.")
    log_format: Literal["console", "json"] | None = Field(
        None, description="Format of the log. Default: `console` in development, `json` in production."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Lowest level that is logged."
    )
    debug: bool = Field(
        False, description="Adds the exception to error responses. Not allowed in production."
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

    @field_validator("auth", "cors_origins", "models", mode="before")
    @classmethod
    def _split_commas(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins_are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            scheme, separator, host = origin.partition("://")
            if origin != "*" and (
                scheme not in {"http", "https"} or not separator or not host or "/" in host
            ):
                raise ValueError(f"{origin!r} is not an origin such as https://app.example.com")
        return value

    @field_validator("public_url")
    @classmethod
    def _no_trailing_slash(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        return value.rstrip("/") if value else None

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(
            ("redis://", "rediss://", "unix://")
        ):
            raise ValueError("must be redis://HOST:PORT/DB, rediss://… or unix://PATH")
        return value

    @field_validator("secret_key", "jwt_secret")
    @classmethod
    def _check_length(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value().encode()) < MIN_SECRET_BYTES:
            raise ValueError(f"must have at least {MIN_SECRET_BYTES} bytes; `openssl rand -hex 32` makes one")
        return value

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        if not self.auth:
            raise ValueError("BACKCHANNEL_AUTH is empty: name at least one of anonymous, jwt, application")
        if "jwt" in self.auth and self.jwt_secret is None:
            raise ValueError("BACKCHANNEL_AUTH has jwt, so BACKCHANNEL_JWT_SECRET must be set")
        if self.env == "production":
            self._check_production()
        return self

    def _check_production(self) -> None:
        if "auth" not in self.model_fields_set:
            raise ValueError("BACKCHANNEL_AUTH must be set in production, such as BACKCHANNEL_AUTH=jwt")
        if self.secret_key is None:
            raise ValueError(
                "BACKCHANNEL_SECRET_KEY must be set in production; `openssl rand -hex 32` makes one"
            )
        if self.debug:
            raise ValueError(
                "BACKCHANNEL_DEBUG must be off in production: it sends causes of errors to callers"
            )
        if "*" in self.cors_origins:
            raise ValueError("BACKCHANNEL_CORS_ORIGINS must name origins in production, not *")

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Read the settings from the environment and `.env`.

        Raises:
            ConfigurationError: A value is missing or invalid. The message is one line and names the setting.
        """
        try:
            return cls(**overrides)
        except ValidationError as error:
            raise ConfigurationError(_one_line(error)) from None

    @classmethod
    def load_for(cls, target: str | None) -> Self:
        """Read the settings, with `target`, if given, in place of `BACKCHANNEL_APP`.

        Raises:
            ConfigurationError: A value is missing or invalid; see `load`.
        """
        return cls.load(app=target) if target is not None else cls.load()

    @property
    def production(self) -> bool:
        """Whether the environment is `production`."""
        return self.env == "production"

    @property
    def offline(self) -> bool:
        """Whether agents that name no model use the offline model."""
        return self.model == "offline" or (self.model is None and self.openai_api_key is None)

    def signing_key(self) -> bytes:
        """The key that signs cookies. In development it is generated on first use and stored, so that cookies stay
        valid after a restart.

        Raises:
            ConfigurationError: The key file cannot be read or created.
        """
        if self.secret_key is not None:
            return self.secret_key.get_secret_value().encode()
        path = DATA_FOLDER / "secret_key"
        try:
            return _load_or_create_key(path)
        except OSError as error:
            raise ConfigurationError(
                f"BACKCHANNEL_SECRET_KEY is not set and {path} cannot be used ({error.strerror}): set it."
            ) from None


def unknown_settings(environment: Mapping[str, str], *known: str) -> list[str]:
    """The `BACKCHANNEL_` variables in the environment that are neither settings nor in `known`, sorted."""
    names = {f"BACKCHANNEL_{name.upper()}" for name in Settings.model_fields} | {"BACKCHANNEL_TOKEN", *known}
    return sorted(name for name in environment if name.startswith("BACKCHANNEL_") and name not in names)


def _load_or_create_key(path: Path) -> bytes:
    if not path.exists():
        _create_key(path)
    key = path.read_bytes().strip()
    if len(key) < MIN_SECRET_BYTES:
        raise ConfigurationError(
            f"BACKCHANNEL_SECRET_KEY is not set and {path} is damaged: delete the file, or set the key."
        )
    return key


def _create_key(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.touch(mode=0o600)
    temporary.write_text(secrets.token_hex(32), encoding="ascii")
    try:
        # Linking fails if the path exists, so exactly one of several processes that start at once succeeds.
        path.hardlink_to(temporary)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()


def _one_line(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    reason = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return reason
    name = str(first["loc"][0])
    setting = name if name.isupper() else f"BACKCHANNEL_{name.upper()}"
    return f"{setting}: {reason[:1].lower()}{reason[1:]}"
