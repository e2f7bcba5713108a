"""What `backchannel doctor` checks of what it calls over HTTP, and of MCP servers."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from email.utils import parsedate_to_datetime
from typing import Any, cast

import httpx2

from backchannel.cli.findings import PROBE_SECONDS, Finding, ProblemError, clock_finding
from backchannel.key_sets.jwks import MAX_REDIRECTS
from backchannel.key_sets.published import PublishedKeys
from backchannel.mcp.configuration import ConfiguredServer, load_mcp_servers
from backchannel.mcp.connection import cancelled_by_transport
from backchannel.mcp.reasons import reason
from backchannel.oidc.metadata import BASIC, POST, discovery_url, parse_metadata
from backchannel.settings import Settings
from backchannel.wiring import Target

OPENAI_URL = "https://api.openai.com/v1"
_LEAST_SECONDS = 0.5
"""So that a time-out is reported as one of the server in question."""


async def probe_model(settings: Settings, _target: Target | None) -> AsyncIterator[Finding]:
    """Whether the endpoint is there, accepts the key and has the model. Its models are listed, which costs nothing."""
    if settings.offline:
        yield Finding("model", "ok", "the offline model, which needs no endpoint")
        return
    name = settings.model or "the default model"
    if settings.openai_base_url is None and "/" in name:
        yield Finding(
            "model", "skipped", f"{name} is called through another library; its endpoint is not checked"
        )
        return
    key = settings.openai_api_key.get_secret_value() if settings.openai_api_key else None
    if key is None and settings.openai_base_url is None:
        yield Finding("model", "problem", f"OPENAI_API_KEY is not set, and {name} needs it")
        return
    url = (settings.openai_base_url or OPENAI_URL).rstrip("/") + "/models"
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    response = await _get("OPENAI_BASE_URL" if settings.openai_base_url else "api.openai.com", url, headers)
    match response.status_code:
        case 200:
            yield _model_finding(settings.model, response)
        case 401 | 403:
            yield Finding("model", "problem", f"OPENAI_API_KEY is refused (HTTP {response.status_code})")
        case 404 | 405:
            yield Finding(
                "model", "warning", "the endpoint answers, but does not list its models: not checked further"
            )
        case 429:
            yield Finding(
                "model", "warning", "the endpoint answers with HTTP 429: its limit or quota is reached"
            )
        case status:
            yield Finding("model", "problem", f"the endpoint answers with HTTP {status}")
    for finding in _clock("model clock", response):
        yield finding


def _clock(check: str, response: httpx2.Response) -> Iterator[Finding]:
    """By how much the clock of this machine differs from that of an endpoint, if it says."""
    try:
        theirs = parsedate_to_datetime(response.headers.get("date", "")).timestamp()
    except ValueError:
        return
    yield clock_finding(check, theirs - time.time())


def _model_finding(name: str | None, response: httpx2.Response) -> Finding:
    try:
        names = {str(entry["id"]) for entry in response.json()["data"]}
    except (ValueError, KeyError, TypeError):
        return Finding(
            "model", "warning", "the endpoint answers, but what it lists are no models: is the URL right?"
        )
    if name is None or name in names:
        return Finding("model", "ok", f"the endpoint answers and accepts the key; it has {name or 'models'}")
    return Finding("model", "warning", f"BACKCHANNEL_MODEL: the endpoint does not list {name}")


async def probe_jwks(settings: Settings, _target: Target | None) -> AsyncIterator[Finding]:
    """Whether the keys of bearer tokens can be fetched."""
    if settings.jwt_jwks_url is None:
        return
    keys = await _key_set("BACKCHANNEL_JWT_JWKS_URL", settings.jwt_jwks_url)
    yield Finding("token keys", "ok", f"{len(keys)} usable keys are published")


async def probe_oidc(settings: Settings, _target: Target | None) -> AsyncIterator[Finding]:
    """Whether the issuer of logins can be discovered (OpenID Connect Discovery 1.0, section 4), publishes keys,
    supports PKCE, and has the same time."""
    setting, issuer = "BACKCHANNEL_OIDC_ISSUER", settings.oidc_issuer
    if issuer is None:
        return
    response = await _get(setting, discovery_url(issuer), {})
    try:
        metadata = parse_metadata(_object(setting, response), issuer, loopback=not settings.production)
    except ValueError as error:
        raise ProblemError(f"{setting}: {error}") from None
    await _key_set(setting, metadata.jwks_uri)
    yield Finding("oidc", "ok", "discovered, and its keys are published")
    secret = settings.oidc_client_secret is not None
    if metadata.code_challenges is None:
        yield Finding("oidc pkce", "ok", "the issuer does not say whether it supports PKCE, as many do not")
    elif "S256" not in metadata.code_challenges:
        yield Finding(
            "oidc pkce",
            "warning" if secret else "problem",
            f"{setting}: the issuer does not support PKCE by S256, so that a stolen code is worth more"
            + ("" if secret else "; set BACKCHANNEL_OIDC_CLIENT_SECRET"),
        )
    if secret and not {BASIC, POST} & set(metadata.auth_methods):
        methods = ", ".join(metadata.auth_methods)
        yield Finding(
            "oidc client",
            "problem",
            f"{setting}: clients authenticate only by {methods}, which is not supported",
        )
    for finding in _clock("oidc clock", response):
        yield finding


async def probe_mcp(settings: Settings, _target: Target | None) -> AsyncIterator[Finding]:
    """Whether each MCP server of the file can be connected and lists its tools."""
    if settings.mcp_servers is None:
        return
    # One that does not even stop in time must not hide what the others say.
    probing = [asyncio.create_task(_mcp_server(each)) for each in load_mcp_servers(settings.mcp_servers)]
    try:
        for finding in asyncio.as_completed(probing):
            yield await finding
    finally:
        for each in probing:
            each.cancel()


async def _mcp_server(configured: ConfiguredServer) -> Finding:
    check, seconds = f"mcp {configured.name}", PROBE_SECONDS - _LEAST_SECONDS
    try:
        # In a task of its own, as each transport needs it.
        with cancelled_by_transport():
            server = configured.make()
            async with asyncio.timeout(seconds):
                try:
                    await server.connect()
                    tools = await server.list_tools()
                finally:
                    await server.cleanup()
    except Exception as error:  # whatever a server does is its failure
        state = "problem" if configured.required else "warning"
        return Finding(check, state, f"BACKCHANNEL_MCP_SERVERS: {configured.name} {reason(error, seconds)}")
    return Finding(check, "ok", f"{len(tools)} tools")


async def _key_set(setting: str, url: str) -> PublishedKeys:
    """The keys at a URL, which the server fetches and uses in the same way."""
    document = _object(setting, await _get(setting, url, {}, redirects=MAX_REDIRECTS))
    try:
        return PublishedKeys(document)
    except ValueError as error:
        raise ProblemError(f"{setting}: the key set cannot be used: {error}") from None


def _object(setting: str, response: httpx2.Response) -> dict[str, Any]:
    if response.status_code != 200:
        raise ProblemError(f"{setting}: HTTP {response.status_code}")
    try:
        document: object = response.json()
    except ValueError:
        raise ProblemError(f"{setting}: the response is not JSON") from None
    if not isinstance(document, dict):
        raise ProblemError(f"{setting}: the response is not a JSON object")
    return cast("dict[str, Any]", document)


async def _get(setting: str, url: str, headers: dict[str, str], redirects: int = 0) -> httpx2.Response:
    async with httpx2.AsyncClient(
        timeout=PROBE_SECONDS - _LEAST_SECONDS, follow_redirects=redirects > 0, max_redirects=redirects
    ) as client:
        try:
            return await client.get(url, headers=headers)
        except httpx2.TimeoutException:
            raise ProblemError(f"{setting}: no answer within {PROBE_SECONDS} seconds") from None
        except (httpx2.RequestError, httpx2.InvalidURL) as error:
            raise ProblemError(f"{setting}: cannot be reached ({error or type(error).__name__})") from None
