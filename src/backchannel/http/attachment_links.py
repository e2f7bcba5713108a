"""Links to files in responses: stored attachments have placeholders, which become links for the reader."""

from collections.abc import Callable

from backchannel.context import RequestContext
from backchannel.errors import NotEnabledError
from backchannel.files.attachments import FileAttachments, with_links
from backchannel.http.services import Services

type AddLinks = Callable[[bytes], bytes]


def links_for(services: Services, context: RequestContext) -> AddLinks:
    """A function that gives a response, or a part of an event stream, with links for one caller. They are for the
    caller's own files: one to a file of somebody else would not be valid."""
    attachments = services.parts.attachments
    if attachments is None:
        return _unchanged
    links, identity, base_url = attachments.links, context.identity, context.base_url
    return lambda body: with_links(body, links, identity, base_url)


def attachments_of(services: Services) -> FileAttachments:
    """The files of the server.

    Raises:
        NotEnabledError: It takes none.
    """
    attachments = services.parts.attachments
    if attachments is None:
        raise NotEnabledError("This server does not take files.")
    return attachments


def _unchanged(body: bytes) -> bytes:
    return body
