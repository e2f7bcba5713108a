"""Servers for tests of file stores: S3 (moto) and Azure Blob Storage (Azurite), one of each for a whole test run.

The processes of a run share them, and they end with the process that started the run. Tests use one bucket, each with a
prefix of its own. Neither server looks at the expiry of a URL, and moto not even at its signature.
"""

import base64
import fcntl
import hmac
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from email.utils import formatdate
from functools import cache
from pathlib import Path

import httpx2
import pytest

from processes import free_port, unavailable

BUCKET = "backchannel-test"
REGION = "eu-central-1"
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

START_SECONDS = 60
POLL_SECONDS = 0.02


def use_s3(monkeypatch: pytest.MonkeyPatch) -> str:
    """Set the variables of S3; gives the URL of a store that is empty."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server())
    return f"s3://{BUCKET}/{secrets.token_hex(8)}"


def use_azure(monkeypatch: pytest.MonkeyPatch) -> str:
    """Set the variables of Azure; gives the URL of a store that is empty."""
    for name in [name for name in os.environ if name.startswith("AZURE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", KEY)
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", azure_server())
    return f"az://{BUCKET}/{secrets.token_hex(8)}"


@cache
def s3_server() -> str:
    """The endpoint of S3."""
    return f"http://127.0.0.1:{_port_of('moto')}"


@cache
def azure_server() -> str:
    """The endpoint of the account on Azure."""
    return f"http://127.0.0.1:{_port_of('azurite')}/{ACCOUNT}"


def _port_of(kind: str) -> int:
    # The processes of pytest-xdist are children of the one that was started.
    run = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
    folder = Path(tempfile.gettempdir()) / f"backchannel-file-servers-{run}"
    folder.mkdir(mode=0o700, exist_ok=True)
    with (folder / f"{kind}.port").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        if port := file.read():
            return int(port)
        started = _start(kind, run, folder)
        file.write(str(started))
    return started


def _start(kind: str, run: int, folder: Path) -> int:
    program = sys.executable if kind == "moto" else _azurite()
    port = free_port()
    log = folder / f"{kind}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, __file__, kind, str(port), str(run), program],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parent), "MOTO_S3_CUSTOM_ENDPOINTS": ""},
            start_new_session=True,
        )
    end = time.monotonic() + START_SECONDS
    while not _answers(port):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(POLL_SECONDS)
    # It is not waited for: it ends after this process.
    process.returncode = 0
    {"moto": _make_bucket, "azurite": _make_container}[kind](port)
    return port


def _azurite() -> str:
    if "WITHOUT_AZURITE" in os.environ:
        # CI has said so.
        pytest.skip("npm could not install azurite.")
    found = shutil.which("azurite-blob")
    if found is None:
        unavailable("There is no azurite-blob here; npm has it in the package azurite.")
        raise AssertionError
    return found


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _make_bucket(port: int) -> None:
    place = f"<CreateBucketConfiguration><LocationConstraint>{REGION}</LocationConstraint></CreateBucketConfiguration>"
    authorization = (
        f"AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/s3/aws4_request, SignedHeaders=host, Signature=0"
    )
    httpx2.put(
        f"http://127.0.0.1:{port}/{BUCKET}",
        content=place.encode(),
        headers={"authorization": authorization},
        timeout=START_SECONDS,
    ).raise_for_status()


def _make_container(port: int) -> None:
    headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2022-11-02"}
    names = "".join(f"{name}:{value}\n" for name, value in headers.items())
    to_sign = "PUT" + "\n" * 12 + f"{names}/{ACCOUNT}/{ACCOUNT}/{BUCKET}\nrestype:container"
    signature = base64.b64encode(hmac.digest(base64.b64decode(KEY), to_sign.encode(), "sha256")).decode()
    headers["authorization"] = f"SharedKey {ACCOUNT}:{signature}"
    url = f"http://127.0.0.1:{port}/{ACCOUNT}/{BUCKET}?restype=container"
    httpx2.put(url, headers=headers, timeout=START_SECONDS).raise_for_status()


def _serve(kind: str, port: int, run: int, program: str) -> None:
    child = None
    if kind == "moto":
        from moto.server import main  # noqa: PLC0415 - takes a second, and only this process needs it

        threading.Thread(target=main, args=(["-H", "127.0.0.1", "-p", str(port)],), daemon=True).start()
    else:
        options = [*("--blobHost", "127.0.0.1", "--blobPort", str(port)), "--inMemoryPersistence"]
        options += ["--skipApiVersionCheck", "--disableTelemetry", "--silent", "--extentMemoryLimit", "256"]
        child = subprocess.Popen([program, *options], stdin=subprocess.DEVNULL)
    try:
        while _exists(run) and (child is None or child.poll() is None):
            time.sleep(0.5)
    finally:
        if child is not None:
            child.send_signal(signal.SIGKILL)
        shutil.rmtree(Path(tempfile.gettempdir()) / f"backchannel-file-servers-{run}", ignore_errors=True)
        os._exit(0)


def _exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
