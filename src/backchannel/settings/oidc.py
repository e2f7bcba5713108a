"""Settings of logins with an identity provider (OpenID Connect)."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode

from backchannel.web.origins import Origin


class OidcSettings(BaseSettings):
    """See the module."""

    oidc_issuer: str | None = Field(
        None,
        description="The issuer of logins, exactly as its discovery document names it, such as "
        "`https://login.example.com/realms/main`; for `oidc` in BACKCHANNEL_AUTH.",
    )
    oidc_client_id: str | None = Field(
        None,
        description="The id of this server at the issuer. Its redirect URI is `<public URL>/auth/callback`.",
    )
    oidc_client_secret: SecretStr | None = Field(
        None, description="The secret of this server at the issuer. Default: a public client, which has none."
    )
    oidc_name: str | None = Field(
        None,
        max_length=60,
        description="What the issuer is called on the login page: Continue with …. Default: its host.",
    )
    oidc_scopes: Annotated[tuple[str, ...], NoDecode] = Field(
        ("openid", "profile", "email"),
        description="The scopes that are asked for, separated by commas or spaces. With `offline_access` most issuers "
        "give a refresh token.",
    )
    oidc_user_claim: str = Field("sub", min_length=1, description="The claim that has the user's id.")
    oidc_user_prefix: str = Field(
        "",
        max_length=60,
        description="Put before the user's id, such as `corp:`, so that it cannot be the id of somebody who is "
        "known by another way.",
    )
    oidc_tenant_claim: str = Field("tenant", min_length=1, description="The claim that has the tenant.")
    oidc_scope_claim: str = Field(
        "scope",
        min_length=1,
        description="The claim that has the scopes, as BACKCHANNEL_JWT_SCOPE_CLAIM.",
    )
    oidc_check_seconds: int = Field(
        900,
        ge=60,
        le=86_400,
        description="Seconds after which a login is checked with the issuer by its refresh token, if it gave one: a "
        "person who is disabled there loses the session with the next use. Without a refresh token, after "
        "BACKCHANNEL_SESSION_MAX_SECONDS.",
    )

    @field_validator("oidc_scopes", mode="before")
    @classmethod
    def _split_spaces(cls, value: object) -> object:
        return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value

    @field_validator("oidc_scopes")
    @classmethod
    def _has_openid(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "openid" not in value:
            raise ValueError("must have openid, or the issuer says nothing about who logs in")
        return value

    @field_validator("oidc_issuer")
    @classmethod
    def _is_issuer(cls, value: str | None) -> str | None:
        if value is None:
            return None
        origin = Origin.parse(value)
        if origin is None or (origin.scheme != "https" and not origin.is_loopback):
            raise ValueError("must be an https:// URL: whoever can change its documents can be anybody")
        parts = urlsplit(value)
        if parts.query or parts.fragment:
            raise ValueError("must have neither a query nor a fragment")
        return value
