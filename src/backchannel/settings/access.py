"""Settings of who may call: authentication, keys, and origins of pages."""

from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode

from backchannel.settings.lists import split_commas
from backchannel.web.origins import Origin, parse_pattern

MIN_SECRET_BYTES = 32
"""RFC 7518 section 3.2: an HS256 key must be at least as long as the hash, 256 bits."""

_HEADER = r"^[A-Za-z0-9-]+$"

type AuthMethod = Literal["anonymous", "session", "password", "oidc", "jwt", "proxy", "application"]


class AccessSettings(BaseSettings):
    """See the module."""

    secret_key: SecretStr | None = Field(
        None,
        description="The key that signs session cookies, at least 32 bytes. Default in development: generated and "
        "stored in `.backchannel/`.",
    )
    auth: Annotated[tuple[AuthMethod, ...], NoDecode] = Field(
        ("anonymous",),
        description="Comma-separated authentication methods, tried in order: `anonymous`, `password` (local users "
        "log in), `oidc` (people log in with an identity provider), `session` (cookies and tokens of people who have "
        "logged in; included in `password` and `oidc`), `jwt`, `proxy` (a header of a trusted proxy), or "
        "`application` for the application's own. No default in production.",
    )
    jwt_secret: SecretStr | None = Field(
        None, description="The HS256 key of bearer tokens, at least 32 bytes."
    )
    jwt_jwks_url: str | None = Field(
        None,
        description="The URL of the issuer's public keys (JWKS) for bearer tokens signed with RS256, ES256, EdDSA and "
        "their like.",
    )
    jwt_issuer: str | None = Field(None, description="The required `iss` of bearer tokens.")
    jwt_audience: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Comma-separated audiences of which bearer tokens must have one in `aud`. Without any, tokens that "
        "name an audience are refused.",
    )
    jwt_user_claim: str = Field(
        "sub", min_length=1, description="The claim of bearer tokens that has the user's id."
    )
    jwt_tenant_claim: str = Field("tenant", min_length=1, description="The claim that has the tenant.")
    jwt_scope_claim: str = Field(
        "scope",
        min_length=1,
        description="The claim that has the scopes, as a list or separated by spaces or commas. `scope` stands for "
        "`scp`, too, and limits nobody if it names no scope of this server. Another claim always does: without it, a "
        "caller may do nothing. Claims inside others are named by their path, such as `realm_access.roles`.",
    )
    jwt_leeway_seconds: int = Field(
        30,
        ge=0,
        le=300,
        description="Tolerated clock difference for `exp`, `nbf` and `iat`, in seconds, of bearer tokens "
        "and of logins with an issuer.",
    )
    jwt_header: str = Field(
        "Authorization",
        pattern=_HEADER,
        description="The header that has the token; another one, such as `Cf-Access-Jwt-Assertion`, without `Bearer`.",
    )
    proxy_user_header: str = Field(
        "X-Forwarded-User",
        pattern=_HEADER,
        description="The header with the user's id that the proxy sets, and removes from requests of its clients; for "
        "`proxy` in BACKCHANNEL_AUTH.",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Comma-separated origins of pages that may send requests, such as `https://app.example.com` or "
        "`https://*.example.com`. In development, loopback origins may, too.",
    )

    _split_access = field_validator("auth", "cors_origins", "jwt_audience", mode="before")(split_commas)

    @field_validator("cors_origins")
    @classmethod
    def _origins_are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if origin != "*":
                parse_pattern(origin)
        return value

    @field_validator("secret_key", "jwt_secret")
    @classmethod
    def _check_length(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value().encode()) < MIN_SECRET_BYTES:
            raise ValueError(f"must have at least {MIN_SECRET_BYTES} bytes; `openssl rand -hex 32` makes one")
        return value

    @field_validator("jwt_jwks_url")
    @classmethod
    def _is_protected(cls, value: str | None) -> str | None:
        origin = None if value is None else Origin.parse(value)
        if value is not None and (origin is None or (origin.scheme != "https" and not origin.is_loopback)):
            raise ValueError("must be an https:// URL: whoever can change the keys can be anybody")
        return value
