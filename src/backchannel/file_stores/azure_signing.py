"""Presigned URLs of Azure (service SAS), signed with the key of the account.

obstore's own have a time before which they are not good, at which the clocks of the server and of Azure may differ, and
cannot change the headers of answers.
"""

import base64
import hmac
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import override
from urllib.parse import quote, urlencode, urlsplit

from backchannel.file_stores.base import UploadTarget
from backchannel.file_stores.signers import Signer, azure_headers

VERSION = "2022-11-02"
"""Of the rules for signing."""

READ, WRITE = "r", "w"


class AzureKeySigner(Signer):
    """Signs the method and the key, and the headers of answers. Neither the host nor headers of uploads can be signed.

    Args:
        public: The base URL at which browsers reach the account.
        key: Base64.
        folder: The container and the prefix of all keys, with a slash at the end.
        now: The time.

    References:
        https://learn.microsoft.com/rest/api/storageservices/create-service-sas
    """

    def __init__(
        self,
        public: str,
        *,
        account: str,
        key: str,
        folder: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        parts = urlsplit(public)
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self._public = public
        self._account = account
        self._key = base64.b64decode(key)
        self._folder = folder
        self._now = now

    @override
    async def sign_put(
        self, key: str, *, mime_type: str, size: int, disposition: str, seconds: int
    ) -> UploadTarget:
        return UploadTarget(self._sign(WRITE, key, seconds), "PUT", azure_headers(mime_type, disposition))

    @override
    async def sign_get(self, key: str, *, mime_type: str, disposition: str, seconds: int) -> str:
        return self._sign(READ, key, seconds, mime_type=mime_type, disposition=disposition, caching="private")

    def _sign(
        self,
        permission: str,
        key: str,
        seconds: int,
        *,
        mime_type: str = "",
        disposition: str = "",
        caching: str = "",
    ) -> str:
        expiry = (self._now() + timedelta(seconds=seconds)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        path = self._folder + key
        # On plain HTTP there is only the emulator, or a proxy in the same network.
        protocol = "https" if self.origin.startswith("https://") else "https,http"
        start = identifier = address = snapshot = encryption = encoding = language = ""
        to_sign = "\n".join(
            [
                permission,
                start,
                expiry,
                f"/blob/{self._account}/{path}",
                identifier,
                address,
                protocol,
                VERSION,
                "b",
                snapshot,
                encryption,
                caching,
                disposition,
                encoding,
                language,
                mime_type,
            ]
        )
        signature = base64.b64encode(hmac.digest(self._key, to_sign.encode(), "sha256")).decode()
        parameters = {
            "sp": permission,
            "se": expiry,
            "spr": protocol,
            "sv": VERSION,
            "sr": "b",
            "rscc": caching,
            "rscd": disposition,
            "rsct": mime_type,
            "sig": signature,
        }
        given = {name: value for name, value in parameters.items() if value}
        return f"{self._public}/{quote(path)}?{urlencode(given, quote_via=quote, safe='')}"
