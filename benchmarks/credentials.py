"""How people are known to the servers that are measured."""

import asyncio
import json
import sys
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from joserfc import jwt
from joserfc.jwk import OctKey

JWT_SECRET = "benchmarks-only-0123456789abcdef-0123456789abcdef"
PASSWORD = "hazel parsnip umbrella"
TIMEOUT_SECONDS = 30

type Credentials = Callable[[str, Path, Mapping[str, str]], Awaitable[Mapping[str, str]]]
"""From a server's URL, its folder and its environment: the headers that each request carries."""


async def no_credentials(_url: str, _folder: Path, _environment: Mapping[str, str]) -> Mapping[str, str]:
    """People need none: a visitor's cookie comes with the first answer."""
    return {}


async def token(_url: str, _folder: Path, _environment: Mapping[str, str]) -> Mapping[str, str]:
    """A JSON Web Token that the secret `JWT_SECRET` signs, good for an hour."""
    claims = {"sub": "alice", "exp": int((datetime.now(UTC) + timedelta(hours=1)).timestamp())}
    signed = jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(JWT_SECRET))
    return {"Authorization": f"Bearer {signed}"}


async def log_in(url: str, folder: Path, environment: Mapping[str, str]) -> Mapping[str, str]:
    """The cookie of a local user, who is added and logs in.

    Raises:
        RuntimeError: The user cannot be added.
    """
    adding = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "backchannel", "user", "add", "alice"),
        cwd=folder,
        env=dict(environment),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await asyncio.wait_for(adding.communicate(f"{PASSWORD}\n".encode()), TIMEOUT_SECONDS)
    if adding.returncode != 0:
        raise RuntimeError(printed.decode(errors="replace"))
    return {"Cookie": await asyncio.to_thread(_cookie, url), "Origin": url}


def _cookie(url: str) -> str:
    body = json.dumps({"name": "alice", "password": PASSWORD}).encode()
    request = urllib.request.Request(
        f"{url}/auth/login", body, {"Content-Type": "application/json", "Origin": url}
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
        return response.headers["Set-Cookie"].partition(";")[0]
