"""A container of Azure Blob Storage.

The variables are those of Azure's tools and of obstore: `AZURE_STORAGE_ACCOUNT_NAME` with `AZURE_STORAGE_ACCOUNT_KEY`,
or `AZURE_STORAGE_CONNECTION_STRING`; `AZURE_STORAGE_ENDPOINT`. Without a key obstore looks for a client secret, a
workload identity or the identity of the machine.
"""

import base64
import binascii
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from obstore.exceptions import BaseError
from obstore.store import AzureStore

from backchannel.errors import ConfigurationError
from backchannel.file_stores.azure_signing import AzureKeySigner
from backchannel.file_stores.base import FileStore
from backchannel.file_stores.object_store import ObjectFileStore
from backchannel.file_stores.parsing import (
    Bucket,
    client_options,
    environment_value,
    is_set,
    parse_endpoint,
    retry_options,
    wrong_url,
)
from backchannel.file_stores.signers import ObstoreSigner, Signer, azure_headers

if TYPE_CHECKING:
    from obstore.store import AzureConfig

CONNECTION_STRING = "AZURE_STORAGE_CONNECTION_STRING"

EMULATOR_ACCOUNT = "devstoreaccount1"
EMULATOR_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The account and the key of every emulator: no secrets."""

EMULATOR_ENDPOINT = f"http://127.0.0.1:10000/{EMULATOR_ACCOUNT}"


def open_container(bucket: Bucket, *, public_url: str | None, presign: bool, timeout: float) -> FileStore:
    """The file store of a container.

    Raises:
        ConfigurationError: A variable is missing or wrong.
    """
    if not re.fullmatch(r"[a-z0-9]+(?:-[a-z0-9]+)*", bucket.name):
        raise wrong_url("a container has a-z, 0-9 and single '-' only")
    config = _configuration()
    account = config.get("account_name")
    if not account:
        raise ConfigurationError(
            f"AZURE_STORAGE_ACCOUNT_NAME is not set. Set it, or {CONNECTION_STRING}, for files on Azure."
        )
    endpoint = config.get("endpoint") or f"https://{account}.blob.core.windows.net"
    config["endpoint"] = endpoint
    try:
        store = AzureStore(
            bucket.name,
            prefix=bucket.prefix or None,
            config=config,
            client_options=client_options(endpoint),
            retry_config=retry_options(timeout),
        )
    except (BaseError, ValueError) as error:
        raise ConfigurationError(
            f"The variables AZURE_… are wrong: {str(error).partition('\n')[0]}"
        ) from None
    signer = _signer(bucket, store, config, endpoint, public_url or endpoint) if presign else None
    return ObjectFileStore(store, name=bucket.url, signer=signer, timeout=timeout)


def _signer(
    bucket: Bucket, store: AzureStore, config: "AzureConfig", endpoint: str, public: str
) -> Signer | None:
    if is_set("AZURE_SKIP_SIGNATURE"):
        return None
    if key := config.get("account_key"):
        prefix = f"{bucket.prefix}/" if bucket.prefix else ""
        return AzureKeySigner(
            public, account=config.get("account_name", ""), key=key, folder=f"{bucket.name}/{prefix}"
        )
    if config.get("sas_key"):
        # A signature for the server cannot make others.
        return None
    parts = urlsplit(public)
    return ObstoreSigner(
        store,
        origin=f"{parts.scheme}://{parts.netloc}",
        put_headers=azure_headers,
        rebase=(endpoint, public),
    )


def _configuration() -> "AzureConfig":
    _, text = environment_value(CONNECTION_STRING)
    config = _of_variables() if text is None else _of_connection_string(text)
    if key := config.get("account_key"):
        try:
            base64.b64decode(key, validate=True)
        except binascii.Error:
            raise ConfigurationError("The key of the Azure storage account is not Base64.") from None
    return config


def _of_variables() -> "AzureConfig":
    config: AzureConfig = {}
    if is_set("AZURE_STORAGE_USE_EMULATOR"):
        config = {
            "account_name": EMULATOR_ACCOUNT,
            "account_key": EMULATOR_KEY,
            "endpoint": EMULATOR_ENDPOINT,
        }
    _, account = environment_value("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT")
    if account is not None:
        config["account_name"] = account
    _, key = environment_value(
        "AZURE_STORAGE_ACCOUNT_KEY",
        "AZURE_STORAGE_KEY",
        "AZURE_STORAGE_ACCESS_KEY",
        "AZURE_STORAGE_MASTER_KEY",
    )
    if key is not None:
        config["account_key"] = key
    _, sas = environment_value("AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY")
    if sas is not None:
        config["sas_key"] = sas
    name, endpoint = environment_value("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")
    if endpoint is not None:
        config["endpoint"] = parse_endpoint(endpoint, name)
    return config


def _of_connection_string(text: str) -> "AzureConfig":
    """See https://learn.microsoft.com/azure/storage/common/storage-configure-connection-string."""
    values: dict[str, str] = {}
    for pair in text.strip().split(";"):
        name, equals, value = pair.partition("=")
        if pair and not equals:
            raise ConfigurationError(f"{CONNECTION_STRING} must have the form NAME=VALUE;NAME=VALUE.")
        values[name.strip().lower()] = value.strip()
    if values.get("usedevelopmentstorage", "").lower() == "true":
        return {
            "account_name": EMULATOR_ACCOUNT,
            "account_key": EMULATOR_KEY,
            "endpoint": EMULATOR_ENDPOINT,
        }
    config: AzureConfig = {}
    if account := values.get("accountname"):
        config["account_name"] = account
    if key := values.get("accountkey"):
        config["account_key"] = key
    if sas := values.get("sharedaccesssignature"):
        config["sas_key"] = sas
    endpoint = values.get("blobendpoint")
    if endpoint is None and account:
        protocol = values.get("defaultendpointsprotocol", "https")
        suffix = values.get("endpointsuffix", "core.windows.net")
        endpoint = f"{protocol}://{account}.blob.{suffix}"
    if endpoint is not None:
        config["endpoint"] = parse_endpoint(endpoint, CONNECTION_STRING)
    if "account_name" not in config or not (key or sas):
        raise ConfigurationError(f"{CONNECTION_STRING} must have AccountName, and AccountKey or a signature.")
    return config
