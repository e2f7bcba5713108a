"""The parts of the URLs of file stores, checked."""

import os
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from backchannel.errors import ConfigurationError

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

URL_SETTING = "BACKCHANNEL_FILES_URL"
PUBLIC_URL_SETTING = "BACKCHANNEL_FILES_PUBLIC_URL"

CONNECT_SECONDS = 5.0
REQUEST_LIMIT = timedelta(hours=1)
"""How long obstore lets one request take. Its own 30 seconds end in the middle of a large file; `object_store` has
time-outs that grow."""

RETRIES = 3

_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")
_SEGMENT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Bucket:
    """What a URL such as `s3://bucket/prefix` says.

    Attributes:
        prefix: Without slashes at its ends; empty for none.
        url: Normalized.
    """

    name: str
    prefix: str
    url: str


def parse_bucket(parts: SplitResult) -> Bucket:
    """The bucket or container of a URL, and the prefix of all keys in it.

    Raises:
        ConfigurationError: The name or the prefix is impossible.
    """
    scheme, name = parts.scheme, parts.netloc
    if not _BUCKET.fullmatch(name) or ".." in name:
        raise wrong_url(
            f"a bucket or container has 3 to 63 characters of a-z, 0-9, '.', '_' and '-', as in {scheme}://my-files"
        )
    segments = [each for each in parts.path.split("/") if each]
    if not all(_SEGMENT.fullmatch(each) for each in segments):
        raise wrong_url("the prefix may have A-Z, a-z, 0-9, '_', '-', '.' and '/' only")
    prefix = "/".join(segments)
    return Bucket(name, prefix, f"{scheme}://{name}/{prefix}".rstrip("/"))


def parse_public_url(url: str) -> str:
    """The base URL for browsers, without a slash at its end.

    Raises:
        ConfigurationError: It is none.
    """
    return parse_endpoint(url, PUBLIC_URL_SETTING)


def parse_endpoint(url: str, variable: str) -> str:
    """An `http` or `https` URL, without a slash at its end.

    Args:
        variable: Which says so; part of the message.

    Raises:
        ConfigurationError: It is none.
    """
    try:
        parts = urlsplit(url)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
        parts = SplitResult("", "", "", "", "")
    if not valid or "@" in parts.netloc or "?" in url or "#" in url or not url.isascii() or " " in url:
        raise ConfigurationError(f"{variable} must be http[s]://HOST[:PORT], without credentials or a query.")
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}"


def wrong_url(reason: str) -> ConfigurationError:
    """The error of a wrong URL of a file store."""
    return ConfigurationError(f"{URL_SETTING} is wrong: {reason}.")


def environment_value(*names: str) -> tuple[str, str | None]:
    """The first of these variables that is set and not empty, or the first name, and its value."""
    for name in names:
        if value := os.environ.get(name):
            return name, value
    return names[0], None


def is_set(name: str) -> bool:
    """Whether a variable stands for yes."""
    return os.environ.get(name, "").strip().lower() in {"1", "true", "yes", "y", "on"}


def client_options(endpoint: str) -> "ClientConfig":
    """The options of obstore's HTTP client for an endpoint."""
    return {
        "allow_http": endpoint.startswith("http://"),
        "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
        "timeout": REQUEST_LIMIT,
    }


def retry_options(timeout: float) -> "RetryConfig":
    """How obstore repeats requests that failed: a few times, within the time-out of a call."""
    return {
        "max_retries": RETRIES,
        "retry_timeout": timedelta(seconds=timeout),
        "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2)},
    }
