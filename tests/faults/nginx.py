"""nginx as a balancer before replicas: each request to the next one, whoever sends it."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from processes import Process, find_program, free_port, until

START_SECONDS = 20

CONFIGURATION = """
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr;
events {{ worker_connections 4096; }}
http {{
  access_log {folder}/access.log;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  upstream replicas {{
    {servers}
  }}
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    location / {{
      proxy_pass http://replicas;
      proxy_http_version {upstream_version};
      proxy_set_header Connection {connection};
      proxy_set_header Host $http_host;
      proxy_buffering off;
      proxy_connect_timeout 1s;
      proxy_read_timeout 60s;
      # A POST that a replica has seen is not sent to another one: that is for the client, who names it.
      proxy_next_upstream error timeout http_502 http_503;
    }}
  }}
}}
"""


class Nginx:
    """nginx on a port of its own, before replicas at these ports.

    Args:
        upstream_version: The version of HTTP in which it speaks to them. 1.0 was the default for long.
    """

    def __init__(self, folder: Path, ports: Sequence[int], *, upstream_version: str = "1.1") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._program = find_program("nginx", "nginx")
        self._folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._configuration = CONFIGURATION.format(
            user="user root;" if os.geteuid() == 0 else "",
            folder=folder,
            port=self.port,
            upstream_version=upstream_version,
            connection='""' if upstream_version == "1.1" else "close",
            servers="\n    ".join(f"server 127.0.0.1:{port} max_fails=1 fail_timeout=1s;" for port in ports),
        )
        self.process = Process(folder / "nginx.log")

    async def __aenter__(self) -> Self:
        file = self._folder / "nginx.conf"
        file.write_text(self._configuration)
        self.process.execute([self._program, "-p", str(self._folder), "-c", str(file), "-e", "stderr"])
        await until(lambda: accepts(self.port), "nginx listens", START_SECONDS)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.process.terminate()


async def accepts(port: int) -> bool:
    """Whether something listens on a port."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
