"""Settings of the server as a whole: what it serves, its streams, its runs, its log."""

import re
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings

from backchannel.settings.prefixes import is_prefix
from backchannel.web.origins import Origin

_NEITHER = re.compile(r"[?#\s]")
"""A query, a fragment, or white space, which parsers of URLs remove."""


class ServerSettings(BaseSettings):
    """See the module."""

    env: Literal["development", "production"] = Field(
        "development", description="`development` needs no login; `production` rejects unsafe settings."
    )
    app: str = Field(
        "backchannel.todo:assistant",
        description="The served application, as `module:attribute`: an Agent, an Application, a ChatKitServer or its "
        "class, or a function that returns one. The default for the commands `serve`, `db`, `export` and `erase`.",
    )
    public_url: str | None = Field(
        None, description="The public URL, such as `https://chat.example.com`. Default: that of each request."
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
    log_format: Literal["console", "json"] | None = Field(
        None, description="Format of the log. Default: `console` in development, `json` in production."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Lowest level that is logged."
    )
    debug: bool = Field(
        False, description="Adds the exception to error responses. Not allowed in production."
    )

    @field_validator("public_url")
    @classmethod
    def _is_address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not value.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        # Links, cookies and the redirect URI of logins are made of it.
        if (
            Origin.parse(value) is None
            or _NEITHER.search(value)
            or not is_prefix(urlsplit(value).path.rstrip("/"))
        ):
            raise ValueError(
                f"{value!r} is not an address such as https://example.com or https://example.com/chat"
            )
        return value.rstrip("/")

    @property
    def production(self) -> bool:
        """Whether the environment is `production`."""
        return self.env == "production"
