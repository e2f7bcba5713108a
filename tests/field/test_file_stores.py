"""File stores and presigned URLs as users of other systems met them; each case names the reports."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from backchannel.errors import ConfigurationError, UnavailableError
from backchannel.file_stores import signers
from backchannel.file_stores.base import FileStore
from backchannel.file_stores.locations import open_file_store
from backchannel.file_stores.s3_signing import S3Keys, presign
from backchannel.testing.contracts.file_store_base import attachment, put, read
from file_servers import REGION, use_azure, use_s3
from processes import until
from s3_double import Request, S3Double, s3_double

pytestmark = pytest.mark.row("E1")

ERROR = "<Error><Code>{}</Code><Message>No.</Message></Error>"


def parameters(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


async def upload(store, key="u/1", size=5, seconds=60):
    return await store.presign_put(
        key, mime_type="image/png", size=size, disposition="inline", seconds=seconds
    )


# seaweedfs/seaweedfs#10216, crafter-station/petdex#465, floci-io/floci#4188: the checksum of an empty body was in the
# URL, so that every real body was refused; the browser reported a network error.
async def test_no_checksum_is_in_a_presigned_upload(monkeypatch):
    store = open_file_store(use_s3(monkeypatch))
    target = await upload(store)
    assert not any("checksum" in name.lower() for name in parameters(target.url))
    assert not any("checksum" in name.lower() or "sha256" in name.lower() for name in target.headers)
    assert "checksum" not in parameters(target.url)["X-Amz-SignedHeaders"]


# minio/minio#11826, #10222, #10972, #20964, QuackbackIO/quackback#137: URLs named the host of the internal network, and
# to replace it afterwards invalidated the signature.
async def test_the_public_host_is_signed(monkeypatch):
    store = open_file_store(use_s3(monkeypatch), public_url="https://files.example/")
    assert store.origins == ("https://files.example",)
    target = await upload(store)
    assert target.url.startswith("https://files.example/backchannel-test/")
    path = urlsplit(target.url).path
    given = parameters(target.url)
    expected = presign(
        "PUT",
        "https://files.example",
        path,
        keys=S3Keys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        region=REGION,
        seconds=int(given["X-Amz-Expires"]),
        now=datetime.strptime(given["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC),
        headers={"content-type": "image/png", "content-length": "5", "content-disposition": "inline"},
    )
    assert parameters(expected)["X-Amz-Signature"] == given["X-Amz-Signature"]
    # The server itself still uses the internal one.
    await store.check()


# minio/minio#5298: the signature was for the host without its port.
async def test_an_unusual_port_is_part_of_the_host(monkeypatch):
    url = use_s3(monkeypatch)
    fixed = iter([datetime(2026, 11, 29, tzinfo=UTC)] * 2)
    monkeypatch.setattr(signers, "datetime", type("Fixed", (), {"now": lambda _: next(fixed)}))
    found = [
        await upload(open_file_store(url, public_url=public))
        for public in ("https://files.example:8443", "https://files.example")
    ]
    assert found[0].url.startswith("https://files.example:8443/")
    first, second = (parameters(each.url)["X-Amz-Signature"] for each in found)
    assert first != second


# MicrosoftDocs/azure-docs#54578, langfuse/langfuse#14569, Azure/azure-storage-node#621, keboola/cli#137: uploads without
# x-ms-blob-type are refused with an error that speaks of something else, and Azure answers 201 and not 200.
async def test_the_headers_that_azure_demands_are_given(monkeypatch):
    store = open_file_store(use_azure(monkeypatch))
    target = await upload(store)
    assert target.headers["x-ms-blob-type"] == "BlockBlob"
    async with httpx2.AsyncClient() as browser:
        refused = await browser.put(target.url, content=b"hello", headers={"content-type": "image/png"})
        assert refused.status_code == 400
        accepted = await browser.put(target.url, content=b"hello", headers=dict(target.headers))
        assert accepted.status_code == 201
    assert await read(store, "u/1") == b"hello"


# minio/minio-java#487, getsentry/objectstore#543, noobaa/noobaa-core#8493: servers whose clock is a little behind refuse
# a new URL as not yet valid. aws/aws-sdk-java#1699: a short one has expired at once.
async def test_clocks_may_differ(monkeypatch):
    store = open_file_store(use_s3(monkeypatch))
    for seconds in (10, 3600, 604_800):
        given = parameters((await upload(store, seconds=seconds)).url)
        signed = datetime.strptime(given["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        assert timedelta(seconds=50) < datetime.now(UTC) - signed < timedelta(seconds=90)
        assert int(given["X-Amz-Expires"]) == min(seconds + 60, 604_800)
    # Azure's URLs have no beginning.
    azure = open_file_store(use_azure(monkeypatch))
    given = parameters((await upload(azure, seconds=10)).url)
    assert "st" not in given
    left = datetime.fromisoformat(given["se"]) - datetime.now(UTC)
    assert timedelta(seconds=5) < left <= timedelta(seconds=10)


# boto/boto3#421, #1982, FeelTrainCoop/shortcut#79, component/s3#7: the host without a region redirects the preflight
# request, which browsers refuse. fortana-co/react-dropzone-uploader#26: the region got lost, and nothing said so.
async def test_the_host_of_amazon_has_the_region(monkeypatch):
    use_s3(monkeypatch)
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    store = open_file_store("s3://my-files/pre")
    assert store.origins == (f"https://my-files.s3.{REGION}.amazonaws.com",)
    assert urlsplit((await upload(store)).url).path == "/pre/u/1"
    monkeypatch.delenv("AWS_REGION")
    with pytest.raises(ConfigurationError, match="AWS_REGION"):
        open_file_store("s3://my-files/pre")


# aws/aws-sdk-js#904, #2128: a dot in the name of the bucket is none in the name of the host, other buckets are in it.
async def test_a_bucket_with_a_dot_is_in_the_path(monkeypatch):
    use_s3(monkeypatch)
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    url = (await upload(open_file_store("s3://my.files"))).url
    assert url.startswith(f"https://s3.{REGION}.amazonaws.com/my.files/u/1?")


# transloadit/uppy#713: the configured region is not the bucket's; noobaa/noobaa-core#8490: a clock is wrong; expired
# credentials. A check names the cause.
@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (301, "PermanentRedirect", "region"),
        (400, "AuthorizationHeaderMalformed", "region"),
        (403, "RequestTimeTooSkewed", "clock"),
        (403, "SignatureDoesNotMatch", "credentials"),
        (403, "InvalidAccessKeyId", "credentials"),
        (400, "ExpiredToken", "expired"),
        (404, "NoSuchBucket", "does not exist"),
        (403, "AccessDenied", "credentials"),
    ],
)
async def test_a_check_names_the_cause(monkeypatch, status, code, words):
    url = use_s3(monkeypatch)
    async with s3_double(lambda _: (status, ERROR.format(code))) as double:
        monkeypatch.setenv("AWS_ENDPOINT_URL", double.url)
        with pytest.raises(UnavailableError, match=words) as caught:
            await open_file_store(url, timeout=5).check()
    assert "AKID" not in caught.value.message


# developmentseed/obstore#746, apache/arrow-rs-object-store#791: names of downloads cannot be signed with obstore.
@pytest.mark.parametrize("use", [use_s3, use_azure])
async def test_a_download_has_the_name_that_is_asked_for(monkeypatch, use):
    store = open_file_store(use(monkeypatch))
    await store.put("a", b"x", mime_type="text/plain", disposition='attachment; filename="old"')
    url = await store.presign_get(
        "a", seconds=60, mime_type="application/pdf", disposition=attachment("new \U0001f600.pdf")
    )
    async with httpx2.AsyncClient() as browser:
        answer = await browser.get(url)
        assert answer.headers["content-disposition"] == attachment("new \U0001f600.pdf")
        assert answer.headers["content-type"] == "application/pdf"
        # Shared caches must not give it to others.
        assert answer.headers["cache-control"] == "private"
        if use is use_azure:
            # It cannot be changed to something that runs in the page. (moto looks at no signature.)
            changed = url.replace("application%2Fpdf", "text%2Fhtml")
            assert (await browser.get(changed)).status_code == 403
            assert (await browser.get(url.replace("/a?", "/b?"))).status_code == 403
            assert (
                await browser.put(url, content=b"y", headers={"x-ms-blob-type": "BlockBlob"})
            ).status_code == 403


# hesprs/sync-engine#283, developmentseed/obstore#149, minio/minio-go#737: parts of failed and of cancelled uploads
# remained for ever, invisible in lists and paid for.
@pytest.mark.parametrize("cancelled", [True, False])
async def test_the_parts_of_an_interrupted_upload_are_removed(monkeypatch, tmp_path: Path, cancelled):
    source = tmp_path / "big"
    source.write_bytes(b"x" * 9_000_000)
    url = use_s3(monkeypatch)
    arrived = asyncio.Event()

    def answer(request: Request):
        key = urlsplit(request.target).path.removeprefix("/backchannel-test/")
        if request.method == "POST" and "?uploads" in request.target:
            return (
                200,
                "<InitiateMultipartUploadResult><UploadId>one/1+</UploadId></InitiateMultipartUploadResult>",
            )
        if request.method == "PUT":
            arrived.set()
            return None if cancelled else (400, ERROR.format("BadDigest"))
        if request.method == "GET":
            name = parse_qs(urlsplit(request.target).query)["prefix"][0]
            others = f"<Upload><Key>{name}2</Key><UploadId>other</UploadId></Upload>"
            return 200, f"<R>{others}<Upload><Key>{name}</Key><UploadId>one/1+</UploadId></Upload></R>"
        assert request.method == "DELETE", (request.method, key)
        return 204, ""

    async with s3_double(answer) as double:
        monkeypatch.setenv("AWS_ENDPOINT_URL", double.url)
        putting = asyncio.create_task(put(open_file_store(url, timeout=5), "big", source))
        if cancelled:
            await asyncio.wait_for(arrived.wait(), 5)
            putting.cancel()
        (result,) = await asyncio.gather(putting, return_exceptions=True)
        assert isinstance(result, asyncio.CancelledError if cancelled else UnavailableError)
        deleted = double.asked("DELETE")
        assert {parameters(each)["uploadId"] for each in deleted} == {"one/1+"}
        assert urlsplit(deleted[0]).path.endswith("/big")


# EnterpriseDB/barman#1146, volcengine/OpenViking#1333, kap-sh/capo#34: servers that speak S3 refuse deletions of many
# files in one request.
async def test_files_are_deleted_one_by_one(monkeypatch):
    url = use_s3(monkeypatch)

    def answer(request: Request):
        if request.method == "POST":
            return 400, ERROR.format("MissingContentMD5")
        return 204, ""

    async with s3_double(answer) as double:
        monkeypatch.setenv("AWS_ENDPOINT_URL", double.url)
        await open_file_store(url, timeout=5).delete([f"a/{number}" for number in range(20)])
        assert len(double.asked("DELETE")) == 20


# PeopleForBikes/pfb-network-connectivity#367, boto/boto3#3079, treeverse/lakeFS#6391: temporary keys are replaced while
# the process runs; a URL is signed with those of now.
async def test_new_keys_are_used_at_once(monkeypatch):
    url = use_s3(monkeypatch)
    async with s3_double(lambda _: (200, "<ListBucketResult></ListBucketResult>")) as double:
        monkeypatch.setenv("AWS_ENDPOINT_URL", double.url)
        store = open_file_store(url, timeout=5)
        for number in range(2):
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", f"ASIA{number}")
            monkeypatch.setenv("AWS_SESSION_TOKEN", f"token/{number}+=")
            given = parameters((await upload(store)).url)
            assert given["X-Amz-Credential"].startswith(f"ASIA{number}/")
            assert given["X-Amz-Security-Token"] == f"token/{number}+="
            # obstore uses keys for a tenth of a second before it asks for them again.
            await until(lambda now=number: used(store, double, f"ASIA{now}", f"token/{now}+="), "new keys")
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        with pytest.raises(UnavailableError):
            await upload(store)


async def used(store: FileStore, double: S3Double, key: str, token: str) -> bool:
    await store.check()
    headers = double.requests[-1].headers
    return f"Credential={key}/" in headers["authorization"] and headers["x-amz-security-token"] == token


# A server that sends half of a file and stops is not waited for, and what came is not taken for all.
async def test_a_download_that_stops_is_an_error(monkeypatch):
    url = use_s3(monkeypatch)

    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        date = "Sun, 29 Nov 2026 16:00:00 GMT"
        head = f"HTTP/1.1 200 OK\r\ncontent-length: 2000000\r\netag: x\r\nlast-modified: {date}\r\n\r\n"
        writer.write(head.encode() + b"x" * 1_000_000)
        await writer.drain()
        await reader.read()
        writer.transport.abort()

    server = await asyncio.start_server(half, "127.0.0.1", 0)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    store = open_file_store(url, timeout=1)
    began = time.monotonic()
    with pytest.raises(UnavailableError):
        await read(store, "a")
    assert time.monotonic() - began < 8
    server.close()
    server.close_clients()
    await server.wait_closed()
