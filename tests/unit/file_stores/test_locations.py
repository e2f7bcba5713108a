"""URLs of file stores and the variables of the clouds: what is wrong is said, and no secret with it."""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from backchannel.errors import ConfigurationError
from backchannel.file_stores.locations import open_file_store
from backchannel.file_stores.s3_signing import S3Keys, presign
from s3_double import s3_double

pytestmark = pytest.mark.row("E1")

KEY = base64.b64encode(b"secret").decode()
CONNECTION = (
    f"DefaultEndpointsProtocol=https;AccountName=acme;AccountKey={KEY};EndpointSuffix=core.windows.net"
)


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKID",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "eu-central-1",
        "AZURE_STORAGE_ACCOUNT_NAME": "acme",
        "AZURE_STORAGE_ACCOUNT_KEY": KEY,
    }.items():
        monkeypatch.setenv(name, value)


async def url_of(store) -> str:
    return (await store.presign_put("a/b", mime_type="a/b", size=1, disposition="inline", seconds=60)).url


@pytest.mark.parametrize(
    "url",
    [
        *("", "files", "/var/files", "C:\\files", "http://bucket/x", "ftp://x/y", "s3:", "S4://bucket"),
        *(
            "file://",
            "file:///",
            "file://server/share",
            "file:relative",
            "file:///a/../../etc",
            "file:///a%00b",
        ),
        *("file:///a?x=1", "memory://x", "memory:", "memory:///", "s3://", "s3:///prefix", "s3://Bucket"),
        *(
            "s3://b",
            "s3://my_bucket!/x",
            "s3://bu..cket",
            "s3://bucket/a%20b",
            "s3://bucket/../x",
            "s3://bucket/.x",
        ),
        *("s3://bucket?region=x", "s3://bucket#x", "s3://KEY:SECRET@bucket/x", "s3://bucket:9000/x"),
        *("s3://bucket--x-s3", "az://con_tainer", "az://con--tainer", "az://con.tainer", "gs://bucket/ä"),
        *("s3://[bucket", "s3://bucket:port/x"),
    ],
)
def test_wrong_urls(url: str):
    with pytest.raises(ConfigurationError, match="BACKCHANNEL_FILES_URL") as caught:
        open_file_store(url)
    assert "SECRET" not in caught.value.message


@pytest.mark.parametrize(
    "public", ["files.example", "ftp://x", "https://", "https://a:b@x", "https://x?y", "https://x y", "//x"]
)
def test_wrong_public_urls(public: str):
    for url in ("s3://bucket", "az://container"):
        with pytest.raises(ConfigurationError, match="BACKCHANNEL_FILES_PUBLIC_URL"):
            open_file_store(url, public_url=public)
    for url in ("memory://", "gs://bucket", "file:///tmp/files"):
        with pytest.raises(ConfigurationError, match="BACKCHANNEL_FILES_PUBLIC_URL"):
            open_file_store(url, public_url="https://files.example")


@pytest.mark.parametrize(
    ("url", "name", "value", "named"),
    [
        ("s3://bucket", "AWS_SECRET_ACCESS_KEY", "", "AWS_SECRET_ACCESS_KEY"),
        ("s3://bucket", "AWS_ACCESS_KEY_ID", "", "AWS_ACCESS_KEY_ID"),
        ("s3://bucket", "AWS_REGION", "", "AWS_REGION"),
        ("s3://bucket", "AWS_REGION", "Europe!", "AWS_REGION"),
        ("s3://bucket", "AWS_ENDPOINT_URL_S3", "minio:9000", "AWS_ENDPOINT_URL_S3"),
        ("s3://bucket", "AWS_ENDPOINT_URL", "https://k:s@minio", "AWS_ENDPOINT_URL"),
        ("az://container", "AZURE_STORAGE_ACCOUNT_NAME", "", "AZURE_STORAGE_ACCOUNT_NAME"),
        ("az://container", "AZURE_STORAGE_ACCOUNT_KEY", "not base64!", "Base64"),
        ("az://container", "AZURE_STORAGE_ENDPOINT", "blob", "AZURE_STORAGE_ENDPOINT"),
        ("az://container", "AZURE_STORAGE_CONNECTION_STRING", "nonsense", "AZURE_STORAGE_CONNECTION_STRING"),
        (
            "az://container",
            "AZURE_STORAGE_CONNECTION_STRING",
            "AccountName=a",
            "AZURE_STORAGE_CONNECTION_STRING",
        ),
        ("gs://bucket", "GOOGLE_APPLICATION_CREDENTIALS", "/absent.json", "GOOGLE_APPLICATION_CREDENTIALS"),
    ],
)
def test_wrong_variables(monkeypatch, url: str, name: str, value: str, named: str):
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=named) as caught:
        open_file_store(url)
    assert "secret" not in caught.value.message
    assert KEY not in caught.value.message


def test_a_folder_that_is_a_file(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(ConfigurationError, match="BACKCHANNEL_FILES_URL"):
        open_file_store((tmp_path / "file" / "below").as_uri())


def test_a_folder_with_odd_characters(tmp_path: Path):
    folder = tmp_path / "a b%20é #1"
    store = open_file_store(folder.as_uri())
    assert store.spool_directory == folder / ".spool"
    assert folder.is_dir()
    assert not store.presigns
    assert open_file_store(f"file://localhost{quote(str(folder))}").spool_directory == folder / ".spool"


@pytest.mark.parametrize(
    ("endpoint", "virtual", "public", "expected"),
    [
        (None, "", None, "https://bucket.s3.eu-central-1.amazonaws.com/pre/a/b"),
        ("http://minio:9000", "", None, "http://minio:9000/bucket/pre/a/b"),
        ("http://minio:9000/s3", "", None, "http://minio:9000/s3/bucket/pre/a/b"),
        ("https://fsn1.example", "true", None, "https://bucket.fsn1.example/pre/a/b"),
        ("https://bucket.fsn1.example", "true", None, "https://bucket.fsn1.example/pre/a/b"),
        ("http://minio:9000", "", "https://files.example", "https://files.example/bucket/pre/a/b"),
        ("http://minio:9000", "", "https://example/s3/", "https://example/s3/bucket/pre/a/b"),
        ("http://minio:9000", "", "https://bucket.files.example", "https://bucket.files.example/pre/a/b"),
        ("http://minio:9000", "", "https://files.example:443", "https://files.example:443/bucket/pre/a/b"),
    ],
)
async def test_addresses_of_buckets(monkeypatch, endpoint, virtual, public, expected):
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint or "")
    monkeypatch.setenv("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", virtual)
    store = open_file_store("s3://bucket//pre/", public_url=public)
    url = await url_of(store)
    assert url.partition("?")[0] == expected
    parts = urlsplit(expected)
    assert store.origins == (f"{parts.scheme}://{parts.netloc}",)
    assert not open_file_store("s3://bucket", presign=False).presigns


async def test_china_has_a_domain_of_its_own(monkeypatch):
    monkeypatch.setenv("AWS_REGION", "cn-north-1")
    assert open_file_store("s3://bucket").origins == ("https://bucket.s3.cn-north-1.amazonaws.com.cn",)


@pytest.mark.parametrize("virtual", ["", "true"])
async def test_the_server_asks_where_it_says(monkeypatch, virtual):
    """The path of a bucket below the path of an endpoint, and none if the bucket is in the host."""
    async with s3_double(lambda _: (200, "<ListBucketResult></ListBucketResult>")) as double:
        endpoint = f"http://localhost:{double.port}" if virtual else f"{double.url}/below"
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        monkeypatch.setenv("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", virtual)
        await open_file_store("s3://localhost/pre", timeout=5).check()
        path = urlsplit(double.requests[0].target).path
        assert path.rstrip("/") == ("" if virtual else "/below/localhost")


async def test_credentials_of_the_machine(monkeypatch, tmp_path: Path):
    """Obstore signs with them: the public host, and nothing of the headers. Its signature is also ours."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    found = {
        "AccessKeyId": "ASIA1",
        "SecretAccessKey": "s1",
        "Token": "t/1",
        "Expiration": "2036-01-01T00:00:00Z",
    }
    (tmp_path / "token").write_text("token")
    async with s3_double(lambda _: (200, json.dumps(found))) as double:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://minio:9000")
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{double.url}/credentials")
        monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "token"))
        store = open_file_store("s3://bucket/pre", public_url="https://files.example", timeout=5)
        target = await store.presign_put("a/b", mime_type="a/b", size=1, disposition="inline", seconds=60)
    given = {name: values[0] for name, values in parse_qs(urlsplit(target.url).query).items()}
    ours = presign(
        "PUT",
        "https://files.example",
        "/bucket/pre/a/b",
        keys=S3Keys("ASIA1", "s1", "t/1"),
        region="eu-central-1",
        seconds=60,
        now=datetime.strptime(given["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC),
    )
    assert given["X-Amz-Signature"] in ours
    assert target.headers == {"content-type": "a/b", "content-disposition": "inline"}


@pytest.mark.parametrize(
    ("connection", "public", "expected"),
    [
        (None, None, "https://acme.blob.core.windows.net/container/pre/a/b"),
        (CONNECTION, None, "https://acme.blob.core.windows.net/container/pre/a/b"),
        (
            f"{CONNECTION};BlobEndpoint=http://azurite:10000/acme/",
            None,
            "http://azurite:10000/acme/container/pre/a/b",
        ),
        ("UseDevelopmentStorage=true", None, "http://127.0.0.1:10000/devstoreaccount1/container/pre/a/b"),
        (CONNECTION, "https://files.example", "https://files.example/container/pre/a/b"),
    ],
)
async def test_addresses_of_containers(monkeypatch, connection, public, expected):
    if connection:
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection)
    store = open_file_store("az://container/pre", public_url=public)
    url = await url_of(store)
    assert url.partition("?")[0] == expected
    given = parse_qs(urlsplit(url).query)
    assert given["sp"] == ["w"]
    assert given["spr"] == ["https" if expected.startswith("https") else "https,http"]
    parts = urlsplit(expected)
    assert store.origins == (f"{parts.scheme}://{parts.netloc}",)


def test_a_signature_of_azure_cannot_sign(monkeypatch):
    text = (
        "BlobEndpoint=https://acme.blob.core.windows.net;AccountName=acme;SharedAccessSignature=sv=2022&sig=x"
    )
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", text)
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_KEY")
    assert not open_file_store("az://container").presigns


async def test_google_signs_with_the_key_of_the_account(monkeypatch, tmp_path: Path):
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {
        "type": "service_account",
        "private_key": pem.decode(),
        "private_key_id": "1",
        "client_email": "files@acme.iam.gserviceaccount.com",
    }
    path = tmp_path / "key.json"
    path.write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(path))
    store = open_file_store("gs://bucket/pre", timeout=5)
    assert store.origins == ("https://storage.googleapis.com",)
    url = await url_of(store)
    path_of_url, _, query = url.partition("?")
    assert path_of_url == "https://storage.googleapis.com/bucket/pre/a/b"
    given = {name: values[0] for name, values in parse_qs(query).items()}
    signed = "&".join(sorted(each for each in query.split("&") if "Signature=" not in each))
    canonical = f"PUT\n/bucket/pre/a/b\n{signed}\nhost:storage.googleapis.com\n\nhost\nUNSIGNED-PAYLOAD"
    digest = hashes.Hash(hashes.SHA256())
    digest.update(canonical.encode())
    scope = given["X-Goog-Credential"].partition("/")[2]
    text = f"GOOG4-RSA-SHA256\n{given['X-Goog-Date']}\n{scope}\n{digest.finalize().hex()}"
    key.public_key().verify(
        bytes.fromhex(given["X-Goog-Signature"]), text.encode(), padding.PKCS1v15(), hashes.SHA256()
    )
