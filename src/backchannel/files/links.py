"""Signed links: for a while, somebody who has one may read a file, or upload the bytes of one.

A link is made for the owner of the file and carries no credentials. Its signature covers what may be done, the file,
its owner, and when it ends; a link that was made for a file that meanwhile belongs to nobody is of no use.
"""

import hashlib
import hmac
import time
from typing import Literal
from urllib.parse import urlencode

from backchannel.context import Identity
from backchannel.errors import NotFoundError
from backchannel.errors.files import LinkExpiredError
from backchannel.files.keys import Form

type Purpose = Literal["read", "upload"]

_NOBODY = Identity("-", tenant="-")
"""Signatures of links to files that do not exist are compared with one for this owner."""

_KEY_PURPOSE = b"backchannel file links v1"

ATTACHMENTS_PATH = "/api/chatkit/attachments"
UPLOADS_PATH = "/api/chatkit/uploads"


class FileLinks:
    """Makes and checks links.

    Args:
        key: The secret of the deployment.
        seconds: How long a link for reading is valid, at least; at most a quarter longer, so that the same link is made
            for a while and browsers can use what they have loaded.
        upload_seconds: How long a link for an upload is valid.
    """

    def __init__(self, key: bytes, *, seconds: int, upload_seconds: int) -> None:
        self._key = hmac.digest(key, _KEY_PURPOSE, hashlib.sha256)
        self._seconds = seconds
        self._upload_seconds = upload_seconds

    def read_path(self, file_id: str, identity: Identity, form: Form = "original") -> str:
        """The path and query of a link with which a form of a file can be read."""
        step = max(self._seconds // 4, 1)
        expires = (int(time.time()) // step + 1) * step + self._seconds
        query = {"form": form} if form != "original" else {}
        return f"{ATTACHMENTS_PATH}/{file_id}?{self._signed('read', file_id, identity, form, expires, query)}"

    def upload_path(self, file_id: str, identity: Identity) -> str:
        """The path and query of a link with which the bytes of an announced file can be sent."""
        expires = int(time.time()) + self._upload_seconds
        return (
            f"{UPLOADS_PATH}/{file_id}?{self._signed('upload', file_id, identity, 'original', expires, {})}"
        )

    def _signed(
        self,
        purpose: Purpose,
        file_id: str,
        identity: Identity,
        form: Form,
        expires: int,
        query: dict[str, str],
    ) -> str:
        signature = self._signature(purpose, file_id, identity, form, expires)
        return urlencode({**query, "expires": str(expires), "signature": signature})

    def check(
        self,
        purpose: Purpose,
        file_id: str,
        owner: Identity | None,
        *,
        form: Form,
        expires: str,
        signature: str,
    ) -> int:
        """Check a link; returns for how many more seconds it is valid.

        Takes as long for a file that does not exist, `owner` being `None`, as for one that does.

        Raises:
            NotFoundError: It was not made for this file and purpose, or was altered.
            LinkExpiredError: It is not valid any more.
        """
        until = int(expires) if expires.isascii() and expires.isdecimal() and len(expires) <= 12 else 0
        expected = self._signature(purpose, file_id, owner or _NOBODY, form, until)
        same = hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace"))
        if not same or owner is None:
            raise NotFoundError("There is no such file, or the link to it is not valid.")
        left = until - int(time.time())
        if left <= 0:
            raise LinkExpiredError(
                "The link to this file has expired. Open the conversation again for a new one."
            )
        return left

    def _signature(self, purpose: Purpose, file_id: str, identity: Identity, form: Form, expires: int) -> str:
        # No part can have a NUL: ids of callers with control characters are refused.
        message = "\0".join((purpose, form, file_id, identity.tenant, identity.user, str(expires)))
        return hmac.digest(self._key, message.encode("utf-8", "surrogatepass"), hashlib.sha256).hex()
