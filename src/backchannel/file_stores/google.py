"""A bucket of Google Cloud Storage.

The variables are those of Google's tools and of obstore: `GOOGLE_APPLICATION_CREDENTIALS`, `GOOGLE_SERVICE_ACCOUNT`
(the path of a key) or `GOOGLE_SERVICE_ACCOUNT_KEY` (the key). Without them the identity of the machine is used.
"""

from pathlib import Path

from obstore.exceptions import BaseError
from obstore.store import GCSStore

from backchannel.errors import ConfigurationError
from backchannel.file_stores.base import FileStore
from backchannel.file_stores.object_store import ObjectFileStore
from backchannel.file_stores.parsing import (
    PUBLIC_URL_SETTING,
    Bucket,
    client_options,
    environment_value,
    is_set,
    retry_options,
)
from backchannel.file_stores.signers import ObstoreSigner

ORIGIN = "https://storage.googleapis.com"


def open_bucket(bucket: Bucket, *, public_url: str | None, presign: bool, timeout: float) -> FileStore:
    """The file store of a bucket.

    Raises:
        ConfigurationError: A variable is missing or wrong.
    """
    if public_url is not None:
        # The host is signed, and obstore signs this one.
        raise ConfigurationError(f"{PUBLIC_URL_SETTING} cannot be used with Google Cloud Storage.")
    for variable in ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SERVICE_ACCOUNT"):
        _, path = environment_value(variable)
        if path is not None and not Path(path).is_file():
            raise ConfigurationError(f"{variable} names a file that does not exist.")
    try:
        store = GCSStore(
            bucket.name,
            prefix=bucket.prefix or None,
            client_options=client_options(ORIGIN),
            retry_config=retry_options(timeout),
        )
    except (BaseError, ValueError, OSError) as error:
        raise ConfigurationError(
            f"The variables GOOGLE_… are wrong: {str(error).partition('\n')[0]}"
        ) from None
    signer = ObstoreSigner(store, origin=ORIGIN) if presign and not is_set("GOOGLE_SKIP_SIGNATURE") else None
    return ObjectFileStore(store, name=bucket.url, signer=signer, timeout=timeout)
