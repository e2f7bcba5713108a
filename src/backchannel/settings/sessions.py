"""Settings of logins: sessions, tokens and passwords."""

from pydantic import Field
from pydantic_settings import BaseSettings


class SessionSettings(BaseSettings):
    """See the module."""

    session_idle_seconds: int = Field(
        14 * 86_400,
        ge=60,
        le=365 * 86_400,
        description="Seconds without use after which a login, of a browser or by refresh token, expires.",
    )
    session_max_seconds: int = Field(
        30 * 86_400,
        ge=60,
        le=365 * 86_400,
        description="Seconds after which a login expires, however much it is used.",
    )
    access_token_seconds: int = Field(
        900, ge=10, le=86_400, description="Seconds after which an access token of `/auth/token` expires."
    )
    password_hash_memory_mib: int = Field(
        64,
        ge=19,
        le=1024,
        description="Memory of one password hash (Argon2id), in MiB. Stored hashes are renewed at the next login.",
    )
    password_hash_concurrency: int = Field(
        2,
        ge=1,
        le=64,
        description="The most password hashes that a process computes at the same time, each with its memory.",
    )
