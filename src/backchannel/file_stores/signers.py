"""Who makes presigned URLs: this server with keys that it has, or obstore with credentials that it finds."""

import asyncio
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import TYPE_CHECKING, override

import httpx2
import obstore
import structlog

from backchannel.errors import UnavailableError
from backchannel.file_stores.base import MAX_PRESIGNED_SECONDS, UploadTarget
from backchannel.file_stores.s3_signing import S3Keys, presign

if TYPE_CHECKING:
    from obstore import SignCapableStore

ABORT_SECONDS = 5.0
"""How long the parts of an interrupted upload may take to be removed."""

SKEW_SECONDS = 60
"""How far the clock of this server may be ahead of that of S3."""

SHORTEST_SECONDS = 60
"""The life of URLs that are used at once: clocks differ."""

log = structlog.get_logger(__name__)


class Signer(ABC):
    """Makes presigned URLs of one store.

    Attributes:
        origin: Of all of its URLs.
    """

    origin: str

    @abstractmethod
    async def sign_put(
        self, key: str, *, mime_type: str, size: int, disposition: str, seconds: int
    ) -> UploadTarget:
        """See `FileStore.presign_put`; all arguments are checked."""

    @abstractmethod
    async def sign_get(self, key: str, *, mime_type: str, disposition: str, seconds: int) -> str:
        """See `FileStore.presign_get`; all arguments are checked."""


@dataclass(frozen=True, slots=True)
class S3Address:
    """Where a bucket is.

    Attributes:
        base: `http[s]://HOST[:PORT]`.
        root: The path of the bucket, with a slash at both ends: `/` if the bucket is in the name of the host.
        prefix: What all keys begin with; empty, or with a slash at the end.
    """

    base: str
    root: str
    prefix: str


class S3KeySigner(Signer):
    """Signs for S3 with the keys in the environment: host, method, type, size and disposition.

    Args:
        internal: Where this server reaches the bucket.
        public: Where browsers reach it; they have to arrive there with this name in `Host`.
        keys: Called for each signature, so that keys can be replaced while the server runs.
        now: The time.
    """

    def __init__(
        self,
        internal: S3Address,
        public: S3Address,
        *,
        region: str,
        keys: Callable[[], S3Keys | None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.origin = public.base
        self._internal = internal
        self._public = public
        self._region = region
        self._keys = keys
        self._now = now

    @override
    async def sign_put(
        self, key: str, *, mime_type: str, size: int, disposition: str, seconds: int
    ) -> UploadTarget:
        headers = {"content-type": mime_type, "content-disposition": disposition}
        url = self._sign("PUT", key, seconds, headers={**headers, "content-length": str(size)})
        return UploadTarget(url, "PUT", headers)

    @override
    async def sign_get(self, key: str, *, mime_type: str, disposition: str, seconds: int) -> str:
        query = {
            "response-content-type": mime_type,
            "response-content-disposition": disposition,
            # Caches that people share must not give the file to others, nor after the URL has expired.
            "response-cache-control": "private",
        }
        return self._sign("GET", key, seconds, query=query)

    def _sign(
        self,
        method: str,
        key: str,
        seconds: int,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> str:
        path = self._public.root + self._public.prefix + key
        return self._presign(method, self._public.base, path, seconds, headers=headers, query=query)

    def _presign(
        self,
        method: str,
        base: str,
        path: str,
        seconds: int,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> str:
        keys = self._keys()
        if keys is None:
            raise UnavailableError("The keys of the file store are no longer in the environment.")
        return presign(
            method,
            base,
            path,
            keys=keys,
            region=self._region,
            # Some servers refuse what their clock says was signed in the future. The end stays the same.
            seconds=min(seconds + SKEW_SECONDS, MAX_PRESIGNED_SECONDS),
            now=self._now() - timedelta(seconds=SKEW_SECONDS),
            headers=headers,
            query=query,
        )

    async def abort_uploads(self, key: str) -> None:
        """Remove the parts of interrupted uploads of a key. Raises no error, and takes `ABORT_SECONDS` at most."""
        try:
            async with asyncio.timeout(ABORT_SECONDS), httpx2.AsyncClient(timeout=ABORT_SECONDS) as client:
                await self._abort_uploads(client, self._internal.prefix + key)
        except (httpx2.HTTPError, UnavailableError, OSError) as error:
            log.warning("parts_of_upload_left", key=key, error=type(error).__name__)

    async def _abort_uploads(self, client: httpx2.AsyncClient, name: str) -> None:
        base, root = self._internal.base, self._internal.root
        query = {"uploads": "", "prefix": name}
        found = await client.get(self._presign("GET", base, root, SHORTEST_SECONDS, query=query))
        found.raise_for_status()
        for upload in re.findall(r"<Upload>.*?</Upload>", found.text, re.DOTALL):
            upload_id = re.search(r"<UploadId>(.*?)</UploadId>", upload)
            # The prefix also finds uploads of longer keys. Keys have no characters that XML writes in another way.
            if upload_id is not None and f"<Key>{name}</Key>" in upload:
                query = {"uploadId": unescape(upload_id[1])}
                aborted = await client.delete(
                    self._presign("DELETE", base, root + name, SHORTEST_SECONDS, query=query)
                )
                aborted.raise_for_status()


def plain_headers(mime_type: str, disposition: str) -> Mapping[str, str]:
    """The headers of an upload to S3 or Google."""
    return {"content-type": mime_type, "content-disposition": disposition}


def azure_headers(mime_type: str, disposition: str) -> Mapping[str, str]:
    """The headers of an upload to Azure, which demands the first one."""
    return {
        "x-ms-blob-type": "BlockBlob",
        "content-type": mime_type,
        "x-ms-blob-content-disposition": disposition,
    }


class ObstoreSigner(Signer):
    """Signs with whatever credentials obstore finds, such as those of the machine. The signature binds no headers.

    On Azure with an identity in place of a key, and on Google with one in place of a service account's key, each
    signature may need a request to the cloud.

    Args:
        store: Reached by browsers at the same address, but for `rebase`.
        origin: Of its URLs.
        put_headers: The headers of an upload by type and disposition.
        rebase: What its URLs begin with, and what is put in its place. Only for stores that do not sign the host.
    """

    def __init__(
        self,
        store: "SignCapableStore",
        *,
        origin: str,
        put_headers: Callable[[str, str], Mapping[str, str]] = plain_headers,
        rebase: tuple[str, str] | None = None,
    ) -> None:
        self.origin = origin
        self._store = store
        self._put_headers = put_headers
        self._rebase = rebase

    @override
    async def sign_put(
        self, key: str, *, mime_type: str, size: int, disposition: str, seconds: int
    ) -> UploadTarget:
        url = await obstore.sign_async(self._store, "PUT", key, timedelta(seconds=seconds))
        return UploadTarget(self._public(url), "PUT", self._put_headers(mime_type, disposition))

    @override
    async def sign_get(self, key: str, *, mime_type: str, disposition: str, seconds: int) -> str:
        return self._public(await obstore.sign_async(self._store, "GET", key, timedelta(seconds=seconds)))

    def _public(self, url: str) -> str:
        if self._rebase is None:
            return url
        internal, public = self._rebase
        if not url.startswith(f"{internal}/"):
            raise UnavailableError("The file store signs URLs of another address than the configured one.")
        return public + url.removeprefix(internal)
