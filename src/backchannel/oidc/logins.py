"""Logging in and out with an identity provider."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog

from backchannel.authenticators.jwt import claim_of, shown_name
from backchannel.context import Identity
from backchannel.errors import UnavailableError
from backchannel.oidc.attempts import Attempt, Attempts
from backchannel.oidc.checks import ProviderChecks
from backchannel.oidc.id_tokens import InvalidIdTokenError, verified_claims
from backchannel.oidc.provider import GrantRefusedError, Provider, Tokens
from backchannel.oidc.refusals import (
    EXPIRED,
    HAS_ACCOUNT,
    MALFORMED,
    NOT_PROVEN,
    UNUSABLE,
    LoginFailedError,
    refusal,
)
from backchannel.oidc.requests import authorization_url, with_parameters
from backchannel.sessions.base import Session
from backchannel.sessions.service import Sessions
from backchannel.stores.sql.accounts import SqlAccounts
from backchannel.web.clients import Client

MAX_CODE_CHARS = 4096
MAX_HINT_CHARS = 4096
"""An ID token that is longer is left out of the logout's URL, which servers would refuse."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ClaimMapping:
    """Which claims say who a person is.

    Attributes:
        identify: Makes an identity of claims; raises `ValueError`.
        wanted: Claims for which the userinfo endpoint is asked if the ID token does not have them. Many providers put
            only `sub` into it.
        user_claim: The claim of the user's id.
    """

    identify: Callable[[Mapping[str, Any]], Identity]
    wanted: Sequence[str]
    user_claim: str


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """A session that has begun.

    Attributes:
        token: Of its cookie.
        return_to: Where the browser goes; to be checked again.
    """

    token: str = field(repr=False)
    return_to: str


class OidcLogins:
    """Logs people in and out.

    Args:
        scopes: Asked for, separated by spaces.
        leeway: See `verified_claims`.
    """

    def __init__(
        self,
        provider: Provider,
        attempts: Attempts,
        checks: ProviderChecks,
        sessions: Sessions,
        accounts: SqlAccounts,
        mapping: ClaimMapping,
        *,
        scopes: str,
        leeway: int,
    ) -> None:
        self.provider = provider
        self.attempts = attempts
        self.checks = checks
        self._sessions = sessions
        self._accounts = accounts
        self._mapping = mapping
        self._scopes = scopes
        self._leeway = leeway

    @property
    def name(self) -> str:
        """The provider's name, for people."""
        return self.provider.client.name

    async def begin(self, browser: str, redirect_uri: str, return_to: str) -> str:
        """Begin an attempt: the URL at the provider to which the browser goes.

        Args:
            browser: The value of its cookie.

        Raises:
            UnavailableError: The provider or the database cannot be reached.
        """
        metadata = await self.provider.metadata()
        attempt = await self.attempts.begin(browser, redirect_uri, return_to)
        return authorization_url(
            metadata.authorization_endpoint, self.provider.client.id, self._scopes, attempt
        )

    async def finish(
        self, answer: Mapping[str, str], browsers: Sequence[str], client: Client, former: Session | None
    ) -> LoggedIn:
        """Finish an attempt with the provider's answer: begin a session.

        Args:
            answer: The parameters of the callback. Nothing of them is trusted.
            browsers: The values of the browser's cookie.
            former: The session that the browser has, which ends.

        Raises:
            LoginFailedError: There is no such attempt, the provider refused, or it proves nothing.
            UnavailableError: The provider or the database cannot be reached. The attempt is gone.
        """
        attempt = await self.attempts.take(answer.get("state", ""), browsers)
        if attempt is None:
            # Not in the audit log, which strangers could fill with this.
            log.info("oidc_attempt_unknown")
            raise LoginFailedError(EXPIRED, "attempt unknown")
        try:
            return await self._finish(attempt, answer, client, former)
        except LoginFailedError as error:
            await self._sessions.audit.note(
                "login.failed", None, client, method="oidc", reason=error.cause[:200]
            )
            raise LoginFailedError(error.message, error.cause, attempt.return_to) from None

    async def logout_url(self, session: Session, return_uri: str) -> str | None:
        """Where a browser logs out at the provider (OpenID Connect RP-Initiated Logout 1.0); `None` if the session did
        not begin there, or the provider offers none or cannot be reached.

        Args:
            return_uri: Where the provider sends the browser back to, if it was registered there.
        """
        try:
            id_token = await self.checks.id_token(session)
            if id_token is None:
                return None
            endpoint = (await self.provider.metadata()).end_session_endpoint
        except UnavailableError as error:
            log.warning("oidc_logout_left_out", reason=error.message)
            return None
        if endpoint is None:
            return None
        fields = {"client_id": self.provider.client.id, "post_logout_redirect_uri": return_uri}
        # Some providers refuse a logout without it.
        hint = {"id_token_hint": id_token} if len(id_token) <= MAX_HINT_CHARS else {}
        return with_parameters(endpoint, {**hint, **fields})

    async def forget(self, session: Session) -> None:
        """Delete what is known of the login of a session that has ended: not before, as a session without it is not
        checked any more. What cannot be deleted now is deleted when the session would have expired."""
        try:
            await self.checks.forget(session)
        except UnavailableError as error:
            log.warning("oidc_login_not_forgotten", reason=error.message)

    async def delete_expired(self, now: datetime) -> None:
        """Delete attempts that were not finished, and what is known of logins whose session has expired."""
        await self.attempts.store.delete_expired(now)
        await self.checks.store.delete_expired(now)

    async def aclose(self) -> None:
        """End what is under way. Idempotent."""
        await self.checks.aclose()
        await self.provider.aclose()

    async def _finish(
        self, attempt: Attempt, answer: Mapping[str, str], client: Client, former: Session | None
    ) -> LoggedIn:
        await self._check_issuer(answer.get("iss"))
        if "error" in answer:
            error = refusal(self.name, answer["error"], attempt.return_to)
            log.info("oidc_refused", error=error.cause)
            raise error
        code = answer.get("code", "")
        if not 1 <= len(code) <= MAX_CODE_CHARS:
            raise LoginFailedError(MALFORMED, "no code, or one that is too long")
        try:
            tokens = await self.provider.exchange(code, attempt.verifier, attempt.redirect_uri)
        except GrantRefusedError:
            raise LoginFailedError(EXPIRED, "code refused") from None
        claims = await self._claims(tokens, attempt)
        identity = await self._identity(claims)
        token, session = await self._sessions.begin(identity, client, former=former)
        try:
            await self.checks.begin(session, tokens, claims["sub"])
        except BaseException:
            await self._sessions.end(session, client, "revoked")
            raise
        return LoggedIn(token, attempt.return_to)

    async def _check_issuer(self, named: str | None) -> None:
        """Check that the answer comes from the provider that was asked (RFC 9207)."""
        wrong = named is not None and named != self.provider.issuer
        if wrong or (named is None and (await self.provider.metadata()).names_itself):
            raise self._not_proven("the answer is of another issuer" if wrong else "iss is missing")

    async def _claims(self, tokens: Tokens, attempt: Attempt) -> Mapping[str, Any]:
        if tokens.id_token is None:
            raise self._not_proven("no ID token")
        try:
            claims = await verified_claims(
                self.provider,
                tokens.id_token,
                nonce=attempt.nonce,
                access_token=tokens.access_token,
                leeway=self._leeway,
            )
        except InvalidIdTokenError as error:
            raise self._not_proven(str(error)) from None
        if tokens.access_token and any(claim_of(claims, each) is None for each in self._mapping.wanted):
            more = await self.provider.userinfo(tokens.access_token)
            # Section 5.3.2: they may be of somebody else.
            if more.get("sub") == claims["sub"]:
                claims = {**more, **claims}
        return claims

    async def _identity(self, claims: Mapping[str, Any]) -> Identity:
        try:
            if self._mapping.user_claim == "email" and claims.get("email_verified") not in (True, "true"):
                # Anybody may enter the address of somebody else at some providers.
                raise ValueError("the address is not verified")
            identity = self._mapping.identify({**claims, "name": _display_name(claims)})
        except ValueError as error:
            message = UNUSABLE.format(name=self.name, reason=str(error)[:200])
            raise LoginFailedError(message, str(error)) from None
        if await self._accounts.find(identity) is not None:
            # Nobody has shown that the two are one person.
            raise LoginFailedError(HAS_ACCOUNT.format(name=self.name), "has an account here")
        return identity

    def _not_proven(self, cause: str) -> LoginFailedError:
        log.warning("oidc_not_proven", reason=cause)
        return LoginFailedError(NOT_PROVEN.format(name=self.name), cause)


def _display_name(claims: Mapping[str, Any]) -> str | None:
    names = (shown_name(claims.get(name)) for name in ("name", "preferred_username", "email"))
    return next(filter(None, names), None)
