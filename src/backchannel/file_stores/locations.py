"""From `BACKCHANNEL_FILES_URL`, and the usual variables of the clouds, to a file store."""

from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from obstore.store import MemoryStore

from backchannel.errors import ConfigurationError
from backchannel.file_stores import azure, google, s3
from backchannel.file_stores.base import FileStore
from backchannel.file_stores.local_store import LocalFileStore
from backchannel.file_stores.object_store import CALL_SECONDS, ObjectFileStore
from backchannel.file_stores.parsing import (
    PUBLIC_URL_SETTING,
    Bucket,
    parse_bucket,
    parse_public_url,
    wrong_url,
)

_BUCKETS = {"s3": s3.open_bucket, "az": azure.open_container, "gs": google.open_bucket}


def open_file_store(
    url: str, *, public_url: str | None = None, presign: bool = True, timeout: float = CALL_SECONDS
) -> FileStore:
    """The file store of a URL. No connection is made before it is used.

    Args:
        url: `file:///PATH`, `memory://` (of this process, and gone with it), `s3://BUCKET/PREFIX`,
            `az://CONTAINER/PREFIX` or `gs://BUCKET/PREFIX`. The folder of `file:` is made at once.
        public_url: The base URL at which browsers reach the same store, if it is another one than that of the server.
            On S3 what is in between must leave `Host` and the path as they are: both are signed.
        presign: Whether browsers may be sent to the store itself, where it has presigned URLs.
        timeout: Seconds; see `object_store.CALL_SECONDS`.

    Raises:
        ConfigurationError: A URL or a variable of the cloud is wrong or missing.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise wrong_url("it is no URL") from None
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise wrong_url("it must not have a query or a fragment")
    # The URL itself is in no message: somebody may have written keys into it.
    if "@" in parts.netloc or port is not None:
        raise wrong_url("it must have neither credentials nor a port; the variables of the cloud give those")
    if (opened := _BUCKETS.get(parts.scheme)) is not None:
        public = parse_public_url(public_url) if public_url else None
        bucket: Bucket = parse_bucket(parts)
        return opened(bucket, public_url=public, presign=presign, timeout=timeout)
    if parts.scheme not in {"file", "memory"}:
        raise wrong_url("it must begin with file:///, memory://, s3://, az:// or gs://")
    if public_url:
        raise ConfigurationError(f"{PUBLIC_URL_SETTING} needs files on S3 or Azure.")
    if parts.scheme == "memory":
        if url != "memory://":
            raise wrong_url("a store in memory is written memory://")
        return ObjectFileStore(MemoryStore(), name=url, timeout=timeout)
    return _open_folder(parts, timeout)


def _open_folder(parts: SplitResult, timeout: float) -> FileStore:
    if parts.netloc not in {"", "localhost"}:
        raise wrong_url("a path has three slashes, as in file:///var/lib/backchannel/files")
    path = unquote(parts.path)
    root = Path(path)
    if not root.is_absolute() or "\0" in path or ".." in root.parts:
        raise wrong_url("the path of the folder must be absolute, and without ..")
    if root == Path(root.anchor):
        raise wrong_url("it must name a folder, not the root of the file system")
    try:
        return LocalFileStore(root, timeout=timeout)
    except OSError as error:
        raise wrong_url(f"the folder cannot be used ({error.strerror})") from None
