"""The limits of what a request may carry, by the settings."""

from backchannel.chat.protocol.limits import RequestLimits
from backchannel.settings import Settings


def request_limits(settings: Settings) -> RequestLimits:
    """The limits of the settings."""
    return RequestLimits(
        message_chars=settings.max_message_chars,
        content_parts=settings.max_message_parts,
        tags=settings.max_message_tags,
        attachments=settings.max_message_attachments,
        metadata_chars=settings.max_metadata_chars,
        json_depth=settings.max_json_depth,
    )
