"""Settings of what is between a browser and the server: proxies, a prefix, frames, cookies."""

from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode

from backchannel.settings.lists import split_commas
from backchannel.settings.prefixes import is_prefix
from backchannel.web.forwarded import TrustedProxies
from backchannel.web.origins import parse_pattern


class WebSettings(BaseSettings):
    """See the module."""

    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        ("127.0.0.0/8", "::1", "unix"),
        description="Comma-separated addresses or networks of proxies whose `X-Forwarded-*` headers count, `unix` for "
        "Unix sockets, or `*` for all that connect: then the last address of `X-Forwarded-For` is the client's.",
    )
    root_path: str = Field(
        "",
        description="The prefix under which a proxy serves this server, such as `/chat`. The proxy may remove it or "
        "not. Default: the path of BACKCHANNEL_PUBLIC_URL.",
    )
    frame_ancestors: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Comma-separated origins of pages that may show the chat page in a frame. Default: none.",
    )
    api_docs: bool | None = Field(
        None,
        description="Whether `/docs` and `/openapi.json` are served. Default: in development only.",
    )
    cookie_same_site: Literal["lax", "none"] = Field(
        "lax",
        description="`none` lets people use the page in a frame on another site: cookies are `SameSite=None; Secure; "
        "Partitioned` then. Needs https.",
    )

    _split_web = field_validator("trusted_proxies", "frame_ancestors", mode="before")(split_commas)

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        TrustedProxies(value)
        return value

    @field_validator("frame_ancestors")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in value:
            parse_pattern(pattern)
        return value

    @field_validator("root_path")
    @classmethod
    def _is_prefix(cls, value: str) -> str:
        prefix = value.rstrip("/")
        if not is_prefix(prefix):
            raise ValueError(f"{value!r} is not a prefix such as /chat")
        return prefix
