"""Uploads and downloads beside nginx, on the same disk: `uv run python -m benchmarks.files [--bytes N] [--rounds N]`.

Needs nginx. Each round sends one file to each of the two and gets it back, in turn; the client is a socket that copies
nothing. Prints the median time of each, their ratio, and how much memory the server needed beyond what it had.
"""

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.processes import free_port

START_SECONDS = 60
BUFFER_BYTES = 4_194_304
LINE = b"The quick brown fox jumps over the lazy dog. 0123456789\n"

NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr; user root;
events {{ worker_connections 64; }}
http {{
  access_log off; client_max_body_size 8g; client_body_temp_path {folder}/body; sendfile on;
  server {{ listen 127.0.0.1:{port}; root {folder}/www; location / {{ dav_methods PUT; }} }}
}}
"""


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bytes", type=int, default=268_435_456)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        sys.exit("nginx is not installed.")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "file.txt"
        with file.open("wb") as target:
            block = LINE * (1_048_576 // len(LINE))
            while target.tell() < options.bytes:
                target.write(block[: options.bytes - target.tell()])
        measure(folder, file, nginx, options.rounds)


def measure(folder: Path, file: Path, nginx: str, rounds: int) -> None:
    """Start both, and let them take turns."""
    ports = free_port(), free_port()
    (folder / "www").mkdir()
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=ports[0]))
    (folder / "app.py").write_text("from agents import Agent\n\nagent = Agent(name='A')\n")
    environment = {
        **os.environ,
        "BACKCHANNEL_MAX_UPLOAD_BYTES": str(file.stat().st_size),
        "BACKCHANNEL_FILE_QUOTA_BYTES": "0",
        "BACKCHANNEL_LOG_LEVEL": "error",
    }
    server = [sys.executable, "-m", "backchannel", "serve", "app.py:agent", "--port", str(ports[1])]
    processes = [
        subprocess.Popen([nginx, "-c", str(folder / "nginx.conf")], cwd=folder),
        subprocess.Popen(server, cwd=folder, env=environment, stdout=subprocess.DEVNULL),
    ]
    try:
        for port in ports:
            wait_for(port)
        cookie = visitor(ports[1])
        idle = memory(processes[1].pid)
        times: dict[str, list[float]] = {name: [] for name in ("put", "our put", "get", "our get")}
        for _ in range(rounds):
            times["put"].append(send(ports[0], "/file.txt", file))
            times["get"].append(receive(ports[0], "/file.txt", file.stat().st_size))
            path, read_path = announce(ports[1], cookie, file)
            times["our put"].append(send(ports[1], path, file))
            times["our get"].append(
                receive(ports[1], redirect(ports[1], cookie, read_path), file.stat().st_size)
            )
        for what in ("put", "get"):
            theirs, ours = (statistics.median(times[name]) for name in (what, f"our {what}"))
            print(
                f"{what}: nginx {theirs:.3f} s, Backchannel {ours:.3f} s: {theirs / ours:.2f} × its throughput"
            )
        print(f"memory beyond idle, at its peak: {(peak(processes[1].pid) - idle) / 1024:.0f} MiB")
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(30)


def wait_for(port: int) -> None:
    """Wait until something listens."""
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return


def visitor(port: int) -> str:
    """The cookie of a new visitor."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/api/chatkit/visitor", b"", method="POST")
    request.add_header("Origin", f"http://127.0.0.1:{port}")
    with urllib.request.urlopen(request, timeout=30) as response:
        return response.headers["Set-Cookie"].partition(";")[0]


def announce(port: int, cookie: str, file: Path) -> tuple[str, str]:
    """The paths to which a file can be sent, and from which it can be read."""
    params = {"name": file.name, "size": file.stat().st_size, "mime_type": "text/plain"}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/chatkit",
        json.dumps({"type": "attachments.create", "params": params}).encode(),
        {"Content-Type": "application/json", "Cookie": cookie, "Origin": f"http://127.0.0.1:{port}"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        attachment = json.load(response)
    url = urlsplit(attachment["upload_descriptor"]["url"])
    return f"{url.path}?{url.query}", f"/api/chatkit/attachments/{attachment['id']}"


def redirect(port: int, cookie: str, path: str) -> str:
    """The path of a signed link."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path, headers={"Cookie": cookie})
    url = urlsplit(connection.getresponse().headers["Location"])
    connection.close()
    return f"{url.path}?{url.query}"


def send(port: int, path: str, file: Path) -> float:
    """The seconds of a PUT."""
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port)) as connection, file.open("rb") as source:
        size = file.stat().st_size
        head = f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode())
        connection.sendfile(source)
        status = connection.recv(65_536).split(b" ", 2)[1]
    if status not in {b"200", b"201", b"204"}:
        raise RuntimeError(f"PUT was answered with {status.decode()}")
    return time.perf_counter() - began


def receive(port: int, path: str, size: int) -> float:
    """The seconds of a GET."""
    began, buffer, received = time.perf_counter(), bytearray(BUFFER_BYTES), 0
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        while count := connection.recv_into(buffer):
            received += count
    if received < size:
        raise RuntimeError(f"only {received} of {size} bytes arrived")
    return time.perf_counter() - began


def memory(pid: int) -> int:
    """What a process has in memory, in KiB."""
    return _status(pid, "VmRSS")


def peak(pid: int) -> int:
    """What it had at most."""
    return _status(pid, "VmHWM")


def _status(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1])


if __name__ == "__main__":
    main()
