"""The examples of `deploy/proxies/`, each as a process on free ports."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from faults.nginx import START_SECONDS, accepts
from processes import Process, find_program, free_port, until

EXAMPLES = Path(__file__).parents[2] / "deploy" / "proxies"
BACKEND = "127.0.0.1:8000"

_NGINX = """
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  include {folder}/example.conf;
}}
"""


@dataclass(frozen=True)
class Kind:
    """A program and its examples.

    Attributes:
        package: Debian's.
        listen: What stands for the port in the example, and how a test says it.
        keeps: What removes the prefix in the example, and what leaves it.
    """

    program: str
    package: str
    example: str
    prefixed: str
    listen: tuple[str, str]
    keeps: tuple[str, str]


KINDS = {
    "nginx": Kind(
        "nginx",
        "nginx-light",
        "nginx.conf",
        "nginx-prefix.conf",
        ("listen 80;", "listen 127.0.0.1:{port};"),
        ("proxy_pass http://backchannel/;", "proxy_pass http://backchannel;"),
    ),
    "caddy": Kind(
        "caddy",
        "caddy",
        "Caddyfile",
        "Caddyfile-prefix",
        # Of one address: a client may have the port on another.
        (":80 {", "http://:{port} {{\n\tbind 127.0.0.1"),
        ("handle_path /chat/*", "handle /chat/*"),
    ),
    "haproxy": Kind(
        "haproxy",
        "haproxy",
        "haproxy.cfg",
        "haproxy-prefix.cfg",
        ("    bind :80", "    bind 127.0.0.1:{port}"),
        ("    http-request replace-path /chat/(.*) /\\1\n", ""),
    ),
}


class Proxy:
    """A proxy as an example configures it, before the server on a port.

    Args:
        variant: `root`, `stripped` (the proxy removes the prefix `/chat`) or `kept`.
        changed: Texts of the example, and what stands there in this test.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        port: int,
        *,
        variant: str = "root",
        changed: dict[str, str] | None = None,
    ) -> None:
        kind = KINDS[name]
        program = find_program(kind.program, kind.package)
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.origin = f"http://127.0.0.1:{self.port}"
        self.url = self.origin + ("" if variant == "root" else "/chat")
        self.process = Process(folder / f"{name}.log")
        text = (EXAMPLES / (kind.example if variant == "root" else kind.prefixed)).read_text()
        replaced = {BACKEND: f"127.0.0.1:{port}", kind.listen[0]: kind.listen[1].format(port=self.port)}
        replaced |= {kind.keeps[0]: kind.keeps[1]} if variant == "kept" else {}
        for old, new in {**replaced, **(changed or {})}.items():
            assert text.count(old) >= 1, f"{old} is not in the example of {name}"
            text = re.sub(
                rf"^(?!\s*#)(.*?){re.escape(old)}",
                lambda match, new=new: match[1] + new,
                text,
                flags=re.MULTILINE,
            )
        getattr(self, f"_{name}")(program, folder, text)

    def _nginx(self, program: str, folder: Path, text: str) -> None:
        (folder / "example.conf").write_text(text)
        user = "user root;" if os.geteuid() == 0 else ""
        (folder / "nginx.conf").write_text(_NGINX.format(folder=folder, user=user))
        self._arguments = [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]

    def _caddy(self, program: str, folder: Path, text: str) -> None:
        (folder / "Caddyfile").write_text("{\n\tadmin off\n\tauto_https off\n}\n" + text)
        self._environment = os.environ | {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
        self._arguments = [program, "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]

    def _haproxy(self, program: str, folder: Path, text: str) -> None:
        (folder / "haproxy.cfg").write_text(text)
        self._arguments = [program, "-db", "-f", str(folder / "haproxy.cfg")]

    async def __aenter__(self) -> Self:
        self.process.execute(self._arguments, getattr(self, "_environment", None))

        async def listens() -> bool:
            assert self.process.alive, self.process.told()
            return await accepts(self.port)

        await until(listens, "the proxy listens", START_SECONDS)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.process.kill()
