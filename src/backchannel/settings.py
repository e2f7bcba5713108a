"""Settings: the only reader of the environment.

Every setting is `BACKCHANNEL_<NAME>` in the environment or in a `.env` file of the working directory; the
environment wins. `.env.example` lists them all and a test keeps it so. `OPENAI_API_KEY` and
`OPENAI_BASE_URL` keep their usual names.
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
    """The settings. Read once at start; a wrong value ends the start with one line that names it."""

    model_config = SettingsConfigDict(
        env_prefix="BACKCHANNEL_",
        env_file=".env",
        env_file_encoding="utf-8",
        extra="ignore",
        frozen=True,
        env_ignore_empty=True,
    )

    env: Literal["development", "production"] = Field(
        "development", description="`development` needs no login; `production` refuses to start unsafe."
    )
    app: str = Field(
        "backchannel.todo:assistant",
        description="What is served, as `module:attribute`: an Agent, an Application, a ChatKitServer or its class, or "
        "a function that returns one. `serve`, `db`, `export` and `erase` use it unless given another target.",
    )
    database_url: str = Field(
        f"sqlite:///{DATA_FOLDER}/backchannel.db",
        description="Where conversations are kept: `sqlite:///PATH`, `postgresql://USER:PASSWORD@HOST/NAME` or "
        "`mysql://USER:PASSWORD@HOST/NAME` (MariaDB too).",
    )
    database_migrate: bool = Field(
        True,
        description="Whether a start brings the tables up to date. If not, it refuses to run on older ones until "
        "`backchannel db upgrade` did.",
    )
    database_pool_size: int = Field(5, ge=1, le=1000, description="Connections that each process keeps open.")
    database_max_overflow: int = Field(
        10, ge=0, le=1000, description="Further connections opened under load and closed after it."
    )
    database_pool_timeout_seconds: float = Field(
        5, gt=0, le=60, description="Wait for a free connection before a request is answered with 503."
    )
    database_pool_recycle_seconds: int = Field(
        1800, ge=-1, description="Age at which a connection is replaced when next used; -1 never."
    )
    database_pool_pre_ping: bool = Field(
        True, description="Ask a connection that was idle for a second for a sign of life before it is used."
    )
    database_statement_timeout_seconds: float = Field(
        30, gt=0, le=3600, description="Longest time of one statement; on SQLite, of waiting for a writer."
    )
    retention_days: int | None = Field(
        None,
        ge=1,
        description="Threads in which nothing happened for so long are deleted, with all that belongs to them, and "
        "runs and usage that are older. Default: never.",
    )
    redis_url: SecretStr | None = Field(
        None,
        description="`redis://[:PASSWORD@]HOST:PORT/DB` (or `rediss://`): what answers say goes through it to all "
        "replicas, and orphaned runs to one of them. Without it, through the database. Each deployment needs a Redis "
        "database of its own.",
    )
    public_url: str | None = Field(
        None, description="The address people use, such as `https://chat.example.com`. Default: as requested."
    )
    secret_key: SecretStr | None = Field(
        None,
        description="Signs session cookies; at least 32 bytes. Development makes one in `.backchannel/`.",
    )
    auth: Annotated[tuple[AuthMethod, ...], NoDecode] = Field(
        ("anonymous",),
        description="Comma list of how callers are identified, tried in order: `anonymous`, `jwt`, or `application` "
        "for the application's own authenticators. Production has no default.",
    )
    jwt_secret: SecretStr | None = Field(None, description="HS256 key of bearer tokens, at least 32 bytes.")
    jwt_issuer: str | None = Field(None, description="The `iss` that bearer tokens must carry.")
    jwt_audience: str | None = Field(None, description="The `aud` that bearer tokens must carry.")
    jwt_leeway_seconds: int = Field(
        30, ge=0, le=300, description="Clock difference tolerated in `exp`, `nbf` and `iat`."
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Comma list of origins that may call from a browser. Development also lets loopback in.",
    )
    model: str | None = Field(
        None,
        description="`offline`, or a model name such as `gpt-5.1` or `litellm/anthropic/…`. Default: offline "
        "without OPENAI_API_KEY, else the SDK's default model. An agent that names its own model keeps it.",
    )
    model_api: Literal["responses", "chat_completions"] = Field(
        "responses", description="Which OpenAI API the model's endpoint speaks."
    )
    agents: Literal["triage", "supervisor"] = Field(
        "triage",
        description="How the todo assistant's specialists are reached: `triage` hands the conversation off "
        "to one, `supervisor` keeps it and calls them as tools.",
    )
    titles: Literal["model", "rule"] = Field(
        "model", description="Who names threads: a `model`, unless the server's is offline, or a `rule`."
    )
    title_model: str | None = Field(None, description="The model that does. Default: the server's own.")
    max_turns: int = Field(20, ge=1, le=200, description="Model calls that one answer may take.")
    history_tokens: int = Field(
        32_000, ge=500, description="About how many tokens of earlier conversation the model is shown."
    )
    heartbeat_seconds: float = Field(
        15, gt=0, le=120, description="A comment line is sent on a stream that was silent for so long."
    )
    on_disconnect: Literal["continue", "cancel"] = Field(
        "continue",
        description="Whether an answer goes on when the client that asked for it goes away, or is stopped.",
    )
    while_running: Literal["reject", "enqueue", "interrupt"] = Field(
        "enqueue",
        description="What becomes of a message to a conversation that is being answered: it is refused, it waits for "
        "its turn, or it stops the answer and takes its place.",
    )
    run_retention_seconds: int = Field(
        600, ge=5, le=86_400, description="How long a finished run's events can still be resumed."
    )
    lease_seconds: float = Field(
        10,
        ge=1,
        le=300,
        description="After so long without a sign of life a replica counts as dead, and others make its answers.",
    )
    shutdown_seconds: float = Field(
        20,
        ge=0,
        le=600,
        description="How long running answers may finish after SIGTERM before they are handed over.",
    )
    max_body_bytes: int = Field(1_048_576, ge=1024, description="Largest request body.")
    max_message_chars: int = Field(32_000, ge=1, description="Longest message of a person, in characters.")
    log_format: Literal["console", "json"] | None = Field(
        None, description="Default: `console` in development, `json` in production."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe level logged."
    )
    debug: bool = Field(False, description="Adds the cause to error responses. Refused in production.")
    openai_api_key: SecretStr | None = Field(
        None, validation_alias="OPENAI_API_KEY", description="The key of OpenAI or a compatible endpoint."
    )
    openai_base_url: str | None = Field(
        None, validation_alias="OPENAI_BASE_URL", description="A compatible endpoint in place of OpenAI's."
    )

    @field_validator("auth", "cors_origins", mode="before")
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
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value().encode()) < MIN_SECRET_BYTES:
            raise ValueError(f"must have at least {MIN_SECRET_BYTES} bytes; `openssl rand -hex 32` makes one")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
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
        """Read the environment.

        Raises:
            ConfigurationError: A value is missing or wrong; the message names the setting, in one line.
        """
        try:
            return cls(**overrides)
        except ValidationError as error:
            raise ConfigurationError(_one_line(error)) from None

    @classmethod
    def load_for(cls, target: str | None) -> Self:
        """Read the environment; a target that a command was given takes the place of `BACKCHANNEL_APP`.

        Raises:
            ConfigurationError: See `load`.
        """
        return cls.load(app=target) if target is not None else cls.load()

    @property
    def production(self) -> bool:
        """Whether the strict rules hold."""
        return self.env == "production"

    @property
    def offline(self) -> bool:
        """Whether the rule-based stand-in answers for agents that name no model of their own."""
        return self.model == "offline" or (self.model is None and self.openai_api_key is None)

    def signing_key(self) -> bytes:
        """The key that signs cookies. Development makes one on first use and keeps it, so that a restart
        does not log everybody out.

        Raises:
            ConfigurationError: The key's file cannot be read or made.
        """
        if self.secret_key is not None:
            return self.secret_key.get_secret_value().encode()
        path = DATA_FOLDER / "secret_key"
        try:
            return _read_or_make_key(path)
        except OSError as error:
            raise ConfigurationError(
                f"BACKCHANNEL_SECRET_KEY is not set and {path} cannot be used ({error.strerror}): set it."
            ) from None


def unknown_settings(environment: Mapping[str, str], *known: str) -> list[str]:
    """The names in the environment that look like settings but are none of this version."""
    names = {f"BACKCHANNEL_{name.upper()}" for name in Settings.model_fields} | {"BACKCHANNEL_TOKEN", *known}
    return sorted(name for name in environment if name.startswith("BACKCHANNEL_") and name not in names)


def _read_or_make_key(path: Path) -> bytes:
    if not path.exists():
        _make_key(path)
    key = path.read_bytes().strip()
    if len(key) < MIN_SECRET_BYTES:
        raise ConfigurationError(
            f"BACKCHANNEL_SECRET_KEY is not set and {path} is damaged: delete the file, or set the key."
        )
    return key


def _make_key(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(secrets.token_hex(32), encoding="ascii")
    try:
        # A link fails where the name exists, so of several processes starting at once exactly one wins.
        path.hardlink_to(draft)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _one_line(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    reason = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return reason
    name = str(first["loc"][0])
    setting = name if name.isupper() else f"BACKCHANNEL_{name.upper()}"
    return f"{setting}: {reason[:1].lower()}{reason[1:]}"
