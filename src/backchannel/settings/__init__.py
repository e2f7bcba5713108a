"""The settings. Only this module reads the environment.

Each setting is `BACKCHANNEL_<NAME>` in the environment or in a `.env` file in the working directory; the environment
takes precedence. `.env.example` lists them all. `OPENAI_API_KEY` and `OPENAI_BASE_URL` have their usual names.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Self, override
from urllib.parse import urlsplit

from pydantic import ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsConfigDict

from backchannel.errors import ConfigurationError
from backchannel.settings.access import AccessSettings, AuthMethod
from backchannel.settings.answers import AnswerSettings
from backchannel.settings.budgets import BudgetSettings
from backchannel.settings.connections import ConnectionSettings
from backchannel.settings.files import FileSettings
from backchannel.settings.limits import LimitSettings
from backchannel.settings.oidc import OidcSettings
from backchannel.settings.production import production_problems
from backchannel.settings.server import ServerSettings
from backchannel.settings.sessions import SessionSettings
from backchannel.settings.signing_key import load_or_create_key
from backchannel.settings.storage import DATA_FOLDER, StorageSettings
from backchannel.settings.web import WebSettings

__all__ = [
    "DATA_FOLDER",
    "AuthMethod",
    "Settings",
    "unknown_settings",
]


# The last base comes first in `.env.example`.
class Settings(
    ConnectionSettings,
    BudgetSettings,
    LimitSettings,
    AnswerSettings,
    WebSettings,
    SessionSettings,
    OidcSettings,
    AccessSettings,
    FileSettings,
    StorageSettings,
    ServerSettings,
):
    """The settings, read once at startup. An invalid value stops the server with one line that names the setting."""

    model_config = SettingsConfigDict(
        env_prefix="BACKCHANNEL_",
        env_file=".env",
        env_file_encoding="utf-8",
        extra="ignore",
        frozen=True,
        env_ignore_empty=True,
    )

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        problem = next(self.problems(), None)
        if problem is not None:
            raise ValueError(problem)
        return self

    def problems(self) -> Iterator[str]:
        """What is wrong with values that are right by themselves: each problem is a line that names the setting."""
        if not self.auth:
            yield (
                "BACKCHANNEL_AUTH is empty: name at least one of anonymous, jwt, oidc, proxy, password, session, "
                "application"
            )
        if "jwt" in self.auth and self.jwt_secret is None and self.jwt_jwks_url is None:
            yield (
                "BACKCHANNEL_JWT_SECRET must be set, or BACKCHANNEL_JWT_JWKS_URL, because BACKCHANNEL_AUTH has jwt"
            )
        if "oidc" in self.auth:
            for name in ("oidc_issuer", "oidc_client_id"):
                if getattr(self, name) is None:
                    yield f"BACKCHANNEL_{name.upper()} must be set, because BACKCHANNEL_AUTH has oidc"
        if self.cookie_same_site == "none" and not self.served_by_https:
            yield (
                "BACKCHANNEL_COOKIE_SAME_SITE=none needs https: set BACKCHANNEL_PUBLIC_URL to the https:// address"
            )
        if (problem := self.unpriced(self._named_models())) is not None:
            yield problem
        if self.production:
            yield from production_problems(self)

    def _named_models(self) -> list[str]:
        """The models that settings name. The offline model is none, and costs nothing."""
        named = [self.model, self.title_model, *self.models]
        return [each for each in named if each is not None and each != "offline"]

    @property
    def logins(self) -> bool:
        """Whether people can log in here, so that there are sessions and tokens."""
        return not {"session", "password", "oidc"}.isdisjoint(self.auth)

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

    @classmethod
    def load_with_problems(cls, target: str | None) -> "tuple[Settings, list[str]]":
        """Read the settings although some may be wrong, for a report of all that is.

        Returns:
            The settings, in which invalid values are replaced by defaults, and a line for each problem, which names the
            setting. A server must not run with settings that have problems.
        """
        overrides: dict[str, Any] = {} if target is None else {"app": target}
        try:
            found, lines = _Unchecked(**overrides), list[str]()
        except ValidationError as error:
            details = error.errors(include_url=False, include_context=False)
            lines = [_line(each) for each in details]
            found = _Unchecked(**overrides | _defaults({str(each["loc"][0]) for each in details}))
        invalid = {line.partition(":")[0] for line in lines}
        # What is only missing because its value was invalid is not reported twice.
        more = [problem for problem in found.problems() if problem.partition(" ")[0] not in invalid]
        return found, lines + more

    @property
    def prefix(self) -> str:
        """The prefix of all paths for people and browsers, such as `/chat`; empty without one."""
        return self.root_path or urlsplit(self.public_url or "").path.rstrip("/")

    @property
    def served_by_https(self) -> bool:
        """Whether people reach the server only by https: cookies are `Secure` then, however a request seems to come."""
        return self.production if self.public_url is None else self.public_url.startswith("https://")

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
            return load_or_create_key(path)
        except OSError as error:
            raise ConfigurationError(
                f"BACKCHANNEL_SECRET_KEY is not set and {path} cannot be used ({error.strerror}): set it."
            ) from None


def unknown_settings(environment: Mapping[str, str], *known: str) -> list[str]:
    """The `BACKCHANNEL_` variables in the environment that are neither settings nor in `known`, sorted."""
    names = {f"BACKCHANNEL_{name.upper()}" for name in Settings.model_fields} | {"BACKCHANNEL_TOKEN", *known}
    return sorted(name for name in environment if name.startswith("BACKCHANNEL_") and name not in names)


class _Unchecked(Settings):
    """Settings whose values may not go together."""

    @override
    def _check_combinations(self) -> Self:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self


def _defaults(names: set[str]) -> dict[str, Any]:
    """The defaults of settings, by their names in messages of pydantic."""
    fields = {str(field.validation_alias or name): field for name, field in Settings.model_fields.items()}
    return {name: fields[name].default for name in names}


def _one_line(error: ValidationError) -> str:
    return _line(error.errors(include_url=False, include_context=False)[0])


def _line(error: ErrorDetails) -> str:
    reason = error["msg"].removeprefix("Value error, ")
    if not error["loc"]:
        return reason
    name = str(error["loc"][0])
    setting = name if name.isupper() else f"BACKCHANNEL_{name.upper()}"
    return f"{setting}: {reason[:1].lower()}{reason[1:]}"
