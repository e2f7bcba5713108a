"""The provider: its metadata, its keys, and its endpoints. All requests have limits of time and size."""

import asyncio
import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import quote_plus

import httpx2
import structlog

from backchannel.errors import UnavailableError
from backchannel.fetched_document import FetchedDocument, read_bounded
from backchannel.key_sets.jwks import JwksKeySet
from backchannel.oidc.metadata import BASIC, POST, ProviderMetadata, discovery_url, parse_metadata

log = structlog.get_logger(__name__)

REQUEST_SECONDS = 10
"""For one request to the token or userinfo endpoint. Providers look people up in directories meanwhile."""

MAX_BYTES = 256 * 1024
MAX_TOKEN_CHARS = 32_000
"""ID tokens name groups, and access tokens of some providers are as long."""

RETRY_AFTER_SECONDS = 10

_REFUSALS = {"invalid_grant"}
"""Errors of the token endpoint that are about the code or the refresh token. All others are about this client, or the
provider's own trouble, and say nothing about the person."""


class GrantRefusedError(Exception):
    """The provider refuses a code or a refresh token: `invalid_grant`."""


@dataclass(frozen=True, slots=True)
class Client:
    """This server, as the provider knows it.

    Attributes:
        secret: `None`: a public client.
        name: The provider's name, for people.
    """

    id: str
    secret: str | None = field(repr=False)
    name: str


@dataclass(frozen=True, slots=True)
class Tokens:
    """The answer of the token endpoint."""

    access_token: str = field(repr=False)
    id_token: str | None = field(repr=False)
    refresh_token: str | None = field(repr=False)


class Provider:
    """The provider at an issuer. Nothing is fetched before it is needed.

    Args:
        loopback: Whether http is accepted for loopback addresses.
    """

    def __init__(self, issuer: str, client: Client, *, loopback: bool) -> None:
        self.issuer = issuer
        self.client = client
        self._document = FetchedDocument(
            discovery_url(issuer),
            lambda document: parse_metadata(document, issuer, loopback=loopback),
            event="oidc_not_discovered",
        )
        self._keys: tuple[str, JwksKeySet] | None = None
        self._http: httpx2.AsyncClient | None = None

    def unavailable(self) -> UnavailableError:
        """The error of everything that needs the provider while it does not answer."""
        return UnavailableError(
            f"{self.client.name} cannot be reached now. Try again in a moment.",
            retry_after=RETRY_AFTER_SECONDS,
        )

    async def metadata(self) -> ProviderMetadata:
        """What the provider says of itself.

        Raises:
            UnavailableError: It is not known now.
        """
        found = await self._document.current()
        if found is None:
            raise self.unavailable()
        return found

    async def keys(self) -> JwksKeySet:
        """The keys that sign ID tokens.

        Raises:
            UnavailableError: It is not known where they are.
        """
        url = (await self.metadata()).jwks_uri
        if self._keys is None or self._keys[0] != url:
            if self._keys is not None:
                await self._keys[1].aclose()
            self._keys = (url, JwksKeySet(url))
        return self._keys[1]

    async def exchange(self, code: str, verifier: str, redirect_uri: str) -> Tokens:
        """The tokens for a code.

        Raises:
            GrantRefusedError: The code is not good, or no longer.
            UnavailableError: The provider does not answer as it should.
        """
        fields = {"code": code, "code_verifier": verifier, "redirect_uri": redirect_uri}
        return await self._tokens({"grant_type": "authorization_code", **fields})

    async def refresh(self, refresh_token: str) -> Tokens:
        """New tokens for a refresh token, which may be good only once.

        Raises:
            GrantRefusedError: The login at the provider has ended.
            UnavailableError: The provider does not answer as it should.
        """
        return await self._tokens({"grant_type": "refresh_token", "refresh_token": refresh_token})

    async def userinfo(self, access_token: str) -> Mapping[str, Any]:
        """The claims of the userinfo endpoint; none if there is no such endpoint, or it does not answer."""
        url = (await self.metadata()).userinfo_endpoint
        if url is None:
            return {}
        try:
            _, claims = await self._send("GET", url, {"Authorization": f"Bearer {access_token}"})
        except UnavailableError:
            return {}
        return claims

    async def aclose(self) -> None:
        """End what is under way. Idempotent."""
        await self._document.aclose()
        if self._keys is not None:
            await self._keys[1].aclose()
        if self._http is not None:
            await self._http.aclose()

    async def _tokens(self, fields: Mapping[str, str]) -> Tokens:
        metadata = await self.metadata()
        headers, more = self._authentication(metadata)
        status, answer = await self._send("POST", metadata.token_endpoint, headers, {**fields, **more})
        if status == 200:
            return self._parse(answer)
        error = str(answer.get("error"))[:60]
        if status in {400, 401} and error in _REFUSALS:
            raise GrantRefusedError
        log.error("oidc_token_request_refused", status=status, error=error, issuer=self.issuer)
        raise self.unavailable()

    def _parse(self, answer: Mapping[str, Any]) -> Tokens:
        values = [answer.get(name) for name in ("access_token", "id_token", "refresh_token")]
        for value in values:
            if value is not None and (not isinstance(value, str) or len(value) > MAX_TOKEN_CHARS):
                log.error("oidc_tokens_unusable", issuer=self.issuer)
                raise self.unavailable()
        access, identity, refresh = values
        return Tokens(access or "", identity or None, refresh or None)

    def _authentication(self, metadata: ProviderMetadata) -> tuple[dict[str, str], dict[str, str]]:
        """The header and the fields by which this client authenticates (RFC 6749, section 2.3.1)."""
        if self.client.secret is None:
            return {}, {"client_id": self.client.id}
        if POST in metadata.auth_methods and BASIC not in metadata.auth_methods:
            return {}, {"client_id": self.client.id, "client_secret": self.client.secret}
        # Each is encoded as in a form first, which Authlib's own method leaves out.
        pair = f"{quote_plus(self.client.id)}:{quote_plus(self.client.secret)}"
        return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}, {}

    async def _send(
        self, method: str, url: str, headers: Mapping[str, str], fields: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, Any]]:
        """The status and the JSON object of an answer. Redirects are not followed: they would take the secret along.

        Raises:
            UnavailableError: There is no such answer in time.
        """
        if self._http is None:
            # Once: reading the certificates of authorities takes longer than a request.
            self._http = httpx2.AsyncClient(timeout=REQUEST_SECONDS)
        try:
            async with (
                asyncio.timeout(REQUEST_SECONDS),
                self._http.stream(
                    method, url, data=fields, headers={"Accept": "application/json", **headers}
                ) as response,
            ):
                status = response.status_code
                if status not in {200, 400, 401}:
                    raise ValueError(f"status {status}")
                answer = json.loads(await read_bounded(response, MAX_BYTES))
            if not isinstance(answer, dict):
                raise TypeError("not a JSON object")
        except (OSError, ValueError, TypeError, RecursionError, httpx2.HTTPError, httpx2.InvalidURL) as error:
            # The reason names no token: those are in the body and in headers.
            log.warning("oidc_request_failed", url=url, reason=str(error)[:200] or type(error).__name__)
            raise self.unavailable() from None
        return status, cast("Mapping[str, Any]", answer)
