"""A bucket of S3, or of a server that speaks its language (MinIO, R2, Garage, SeaweedFS …).

The variables are those of the AWS tools: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`,
`AWS_REGION` or `AWS_DEFAULT_REGION`, `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL`. `AWS_VIRTUAL_HOSTED_STYLE_REQUEST`
puts the bucket into the name of the host of such an endpoint. Without keys obstore looks for those of the container,
the web identity or the machine; profiles (`~/.aws`) are not read.
"""

import os
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from obstore.exceptions import BaseError
from obstore.store import S3Store

from backchannel.errors import ConfigurationError
from backchannel.file_stores.base import FileStore
from backchannel.file_stores.object_store import ObjectFileStore
from backchannel.file_stores.parsing import (
    PUBLIC_URL_SETTING,
    Bucket,
    client_options,
    environment_value,
    is_set,
    parse_endpoint,
    retry_options,
    wrong_url,
)
from backchannel.file_stores.s3_signing import S3Keys
from backchannel.file_stores.signers import ObstoreSigner, S3Address, S3KeySigner, Signer

if TYPE_CHECKING:
    from obstore.store import S3Credential

DEFAULT_REGION = "us-east-1"
"""Of servers that are not Amazon's and have no regions."""

KEYS_SECONDS = 1
"""After what time obstore asks for the keys again, as they may have been replaced."""


def open_bucket(bucket: Bucket, *, public_url: str | None, presign: bool, timeout: float) -> FileStore:
    """The file store of a bucket.

    Raises:
        ConfigurationError: A variable is missing or wrong.
    """
    if bucket.name.endswith("--x-s3"):
        raise wrong_url("directory buckets (S3 Express) are not supported")
    region = _region()
    endpoint = _endpoint()
    internal = _address(bucket, endpoint or _amazon(bucket, region), virtual=_virtual(bucket, endpoint))
    public = internal
    if public_url is not None:
        public = _address(
            bucket, public_url, virtual=_names_bucket(bucket, public_url) or _asks_for_virtual()
        )
    keys = _required_keys()
    store = _open(bucket, internal, region, timeout, with_keys=keys is not None)
    signer: Signer
    abort_uploads: Callable[[str], Awaitable[None]] | None = None
    if keys is not None:
        signer = S3KeySigner(internal, public, region=region, keys=keys_of_environment)
        abort_uploads = signer.abort_uploads
    else:
        # It signs the host, so that it needs the one that browsers know.
        signing = store if public == internal else _open(bucket, public, region, timeout, with_keys=False)
        signer = ObstoreSigner(signing, origin=public.base)
    return ObjectFileStore(
        store,
        name=bucket.url,
        signer=signer if presign and not is_set("AWS_SKIP_SIGNATURE") else None,
        abort_uploads=abort_uploads,
        timeout=timeout,
    )


def keys_of_environment() -> S3Keys | None:
    """The keys as they are in the environment now; `None` unless there are both."""
    access, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    if not access or not secret:
        return None
    return S3Keys(access, secret, environment_value("AWS_SESSION_TOKEN", "AWS_TOKEN")[1])


def _required_keys() -> S3Keys | None:
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    missing = [name for name in names if not os.environ.get(name)]
    if len(missing) == 1:
        raise ConfigurationError(f"{missing[0]} is not set. S3 needs both keys, or none of them.")
    return keys_of_environment()


def _open(bucket: Bucket, address: S3Address, region: str, timeout: float, *, with_keys: bool) -> S3Store:
    virtual = address.root == "/"
    try:
        return S3Store(
            bucket.name,
            prefix=bucket.prefix or None,
            config={
                "region": region,
                # Without the bucket where obstore adds it to the path.
                "endpoint": address.base + ("" if virtual else address.root.removesuffix(f"/{bucket.name}/")),
                "virtual_hosted_style_request": virtual,
                # Servers that speak S3 need not have it, and files are deleted one by one.
                "disable_bulk_delete": True,
            },
            client_options=client_options(address.base),
            retry_config=retry_options(timeout),
            credential_provider=_provide_keys if with_keys else None,
        )
    except (BaseError, ValueError) as error:
        raise ConfigurationError(f"The variables AWS_… are wrong: {str(error).partition('\n')[0]}") from None


def _provide_keys() -> "S3Credential":
    keys = keys_of_environment()
    if keys is None:
        raise ValueError("The keys are no longer in the environment.")
    return {
        "access_key_id": keys.access_key,
        "secret_access_key": keys.secret_key,
        "token": keys.token,
        "expires_at": datetime.now(UTC) + timedelta(seconds=KEYS_SECONDS),
    }


def _region() -> str:
    name, region = environment_value("AWS_REGION", "AWS_DEFAULT_REGION")
    if region is None:
        if _endpoint() is None:
            # Amazon answers requests for another region with redirects, which browsers do not follow.
            raise ConfigurationError("AWS_REGION is not set. It names the region of the bucket.")
        return DEFAULT_REGION
    if not re.fullmatch(r"[a-z0-9-]{2,32}", region):
        raise ConfigurationError(f"{name} is no region, such as eu-central-1.")
    return region


def _endpoint() -> str | None:
    name, value = environment_value("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
    return None if value is None else parse_endpoint(value, name)


def _amazon(bucket: Bucket, region: str) -> str:
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://s3.{region}.{domain}"


def _asks_for_virtual() -> bool:
    return is_set("AWS_VIRTUAL_HOSTED_STYLE_REQUEST")


def _virtual(bucket: Bucket, endpoint: str | None) -> bool:
    if endpoint is None:
        # Amazon's own style. Its certificates are for names without further dots.
        return "." not in bucket.name
    return _asks_for_virtual()


def _names_bucket(bucket: Bucket, url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host == bucket.name or host.startswith(f"{bucket.name}.")


def _address(bucket: Bucket, endpoint: str, *, virtual: bool) -> S3Address:
    parts = urlsplit(endpoint)
    base = f"{parts.scheme}://{parts.netloc}"
    prefix = f"{bucket.prefix}/" if bucket.prefix else ""
    if not virtual:
        return S3Address(base, f"{parts.path}/{bucket.name}/", prefix)
    if parts.path:
        raise ConfigurationError(
            f"{PUBLIC_URL_SETTING} and AWS_ENDPOINT_URL must have no path if the bucket is in the name of the host."
        )
    if not _names_bucket(bucket, endpoint):
        base = f"{parts.scheme}://{bucket.name}.{parts.netloc}"
    return S3Address(base, "/", prefix)
