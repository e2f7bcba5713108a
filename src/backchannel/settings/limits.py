"""Settings of the limits of requests."""

from pydantic import Field
from pydantic_settings import BaseSettings


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
