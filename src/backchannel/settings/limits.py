"""Settings of the limits of requests."""

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings

from backchannel.settings.rates import parse_rates

RATE = "600/minute"
"""Of a user, in production: more than a person with several open pages needs."""

ADDRESS_RATE = "6000/minute"
"""Of an address, in production. Offices, schools and mobile networks share one."""


class LimitSettings(BaseSettings):
    """See the module."""

    max_body_bytes: int = Field(1_048_576, ge=1024, description="Largest request body, in bytes.")
    max_message_chars: int = Field(32_000, ge=1, description="Longest message, in characters.")
    max_message_parts: int = Field(
        100, ge=1, description="The most parts of a message's content, with its tags."
    )
    max_message_tags: int = Field(50, ge=0, description="The most tags of a message.")
    max_message_attachments: int = Field(20, ge=0, description="The most attachments of a message.")
    max_metadata_chars: int = Field(
        16_000, ge=2, description="Longest metadata of a request or a thread, in characters as JSON."
    )
    max_json_depth: int = Field(
        64,
        ge=1,
        le=128,
        description="The most levels of objects and lists in metadata, in the payload of an action and in the output "
        "of a client tool.",
    )
    rate_limit: str | None = Field(
        None,
        description="Most requests of one user: a number per second, minute, hour or day, several separated by `;`, or "
        "`off`. Visitors without a cookie count as one user for each address. Following and stopping answers counts "
        f"apart, with ten times the limit. Default: `{RATE}` in production, else `off`.",
    )
    rate_limit_address: str | None = Field(
        None,
        description="Most requests from one client address (IPv6: one /64 network), or `off`. Failed logins and "
        f"invalid tokens count here. Default: `{ADDRESS_RATE}` in production, else `off`.",
    )
    rate_limit_tenant: str = Field("off", description="Most requests of all users of one tenant together.")
    max_concurrent_runs: int = Field(
        0,
        ge=0,
        le=10_000,
        description="Most answers of one user that are in progress or queued at the same time; 0 for no limit.",
    )

    @field_validator("rate_limit", "rate_limit_address", "rate_limit_tenant")
    @classmethod
    def _are_rates(cls, value: str | None) -> str | None:
        if value is not None:
            parse_rates(value)
        return value
