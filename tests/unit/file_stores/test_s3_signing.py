"""Our presigned URLs are those of botocore, byte for byte, whatever is in them."""

import datetime as dates
from http.client import HTTPMessage
from unittest.mock import patch
from urllib.parse import parse_qs, urlsplit

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from backchannel.file_stores.s3_signing import S3Keys, host_header, presign

pytestmark = pytest.mark.row("E1")

NOW = dates.datetime(2026, 11, 29, 12, 0, 1, tzinfo=dates.UTC)

texts = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)
spaced = st.lists(st.sampled_from(["a", " ", "  ", '"', ";"]), max_size=8).map("".join)
paths = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30)
names = st.from_regex(r"[a-z][a-z0-9-]{0,12}", fullmatch=True).filter(lambda name: name != "host")
bases = st.sampled_from(
    [
        *("https://bucket.s3.eu-central-1.amazonaws.com", "http://minio:9000", "https://files.example:8443"),
        *("https://files.example:443", "http://files.example:80", "http://[::1]:9000"),
    ]
)


@given(
    method=st.sampled_from(["GET", "PUT", "DELETE"]),
    base=bases,
    path=paths,
    access=st.from_regex(r"[A-Z0-9/+=]{4,20}", fullmatch=True),
    secret=st.text(min_size=1, max_size=40),
    token=st.none() | st.from_regex(r"[A-Za-z0-9/+=]{1,60}", fullmatch=True),
    region=st.sampled_from(["us-east-1", "eu-central-1", "auto"]),
    seconds=st.integers(1, 604_800),
    headers=st.dictionaries(names, texts | spaced, max_size=4),
    query=st.dictionaries(names.filter(lambda name: not name.startswith("x-amz")), paths, max_size=4),
)
def test_it_is_the_signature_of_botocore(
    method, base, path, access, secret, token, region, seconds, headers, query
):
    ours = presign(
        method,
        base,
        f"/{path}",
        keys=S3Keys(access, secret, token),
        region=region,
        seconds=seconds,
        now=NOW,
        headers=headers,
        query=query,
    )
    theirs = botocore_url(method, ours, access, secret, token, region, seconds, headers, query)
    assert sorted(ours.partition("?")[2].split("&")) == sorted(theirs.partition("?")[2].split("&"))
    assert ours.partition("?")[0] == theirs.partition("?")[0]


def botocore_url(method, url, access, secret, token, region, seconds, headers, query) -> str:
    auth = botocore.auth.S3SigV4QueryAuth(Credentials(access, secret, token), "s3", region, expires=seconds)
    # The path is encoded before it is signed, as botocore's serializer does.
    request = AWSRequest(method=method, url=url.partition("?")[0], headers=dict(headers), params=dict(query))
    with (
        patch.object(botocore.auth, "get_current_datetime", return_value=NOW.replace(tzinfo=None)),
        # Otherwise it leaves out the type, which its clients do not sign in a URL.
        patch.object(auth, "headers_to_sign", lambda each: signed_headers(each, url)),
    ):
        auth.add_auth(request)
    return request.url


def signed_headers(request: AWSRequest, url: str) -> HTTPMessage:
    message = HTTPMessage()
    for name, value in request.headers.items():
        message[name.lower()] = value
    message["host"] = botocore.auth._host_from_url(url)
    return message


def test_the_example_of_amazon():
    """From the documentation of S3, "Authenticating Requests: Using Query Parameters"."""
    url = presign(
        "GET",
        "https://examplebucket.s3.amazonaws.com",
        "/test.txt",
        keys=S3Keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        region="us-east-1",
        seconds=86_400,
        now=dates.datetime(2013, 5, 24, tzinfo=dates.UTC),
    )
    assert url.endswith("&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404")


def test_everything_that_is_bound_changes_the_signature():
    usual = {
        "method": "PUT",
        "base": "https://files.example",
        "path": "/bucket/key",
        "region": "eu-central-1",
        "seconds": 60,
        "now": NOW,
        "headers": {"content-type": "image/png", "content-length": "5", "content-disposition": "inline"},
        "query": {},
        "keys": S3Keys("A", "s"),
    }
    others = [
        {"method": "GET"},
        {"base": "https://other.example"},
        {"path": "/bucket/other"},
        {"region": "us-east-1"},
        {"seconds": 61},
        {"now": NOW + dates.timedelta(seconds=1)},
        {"headers": usual["headers"] | {"content-type": "text/html"}},
        {"headers": usual["headers"] | {"content-length": "6"}},
        {"headers": usual["headers"] | {"content-disposition": "attachment"}},
        {"query": {"response-content-type": "text/html"}},
        {"keys": S3Keys("A", "t")},
        {"keys": S3Keys("A", "s", "token")},
    ]
    signatures = [signature(**usual), *(signature(**usual | other) for other in others)]
    assert len(set(signatures)) == len(signatures)


def signature(method: str, base: str, path: str, **options) -> str:
    return parse_qs(urlsplit(presign(method, base, path, **options)).query)["X-Amz-Signature"][0]


def test_the_host_is_the_one_that_clients_send():
    assert host_header("https://Files.Example:443/x") == "files.example"
    assert host_header("http://files.example:443") == "files.example:443"
    assert host_header("http://[::1]:9000") == "[::1]:9000"


def test_secrets_are_not_shown():
    assert "geheim" not in repr(S3Keys("A", "geheim", "geheim"))
