"""Authenticators and what they need."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from backchannel.accounts.guessing import GuessingLimits
from backchannel.accounts.logins import Logins
from backchannel.accounts.passwords import Passwords
from backchannel.application import Application
from backchannel.audit import Audit
from backchannel.authenticators.anonymous import AnonymousAuthenticator
from backchannel.authenticators.base import Authenticator
from backchannel.authenticators.bearer import BearerAuthenticator
from backchannel.authenticators.host import ProxyHeaderAuthenticator
from backchannel.authenticators.jwt import ClaimNames, JwtAuthenticator
from backchannel.authenticators.session import SessionAuthenticator
from backchannel.errors import ConfigurationError
from backchannel.http.auth.access import Access
from backchannel.key_sets.base import KeySet
from backchannel.key_sets.jwks import JwksKeySet
from backchannel.key_sets.secret import SecretKeySet
from backchannel.sessions.base import SessionCheck, SessionStore
from backchannel.sessions.cookies import COOKIE, SessionCookies
from backchannel.sessions.redis import RedisSessions
from backchannel.sessions.routed import RoutedSessions
from backchannel.sessions.service import Lifetimes, Sessions
from backchannel.sessions.sql import SqlSessions
from backchannel.settings import Settings
from backchannel.stores.sql.accounts import SqlAccounts
from backchannel.stores.sql.audit_log import SqlAuditLog
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.login_failures import SqlLoginFailures
from backchannel.web.cookies import CookieFormat, deployment_name
from backchannel.web.origins import WriteOrigins
from backchannel.wiring.oidc import make_oidc_logins, make_provider_checks


def make_access(settings: Settings, application: Application, database: Database) -> Access | None:
    """The parts of logins; `None` if nobody logs in here.

    Raises:
        ConfigurationError: See `Settings.signing_key` and `RedisSessions`.
    """
    if application.authenticators is not None or not settings.logins:
        return None
    accounts, audit = SqlAccounts(database), Audit(SqlAuditLog(database))
    checks = make_provider_checks(settings, database) if "oidc" in settings.auth else None
    sessions = make_sessions(settings, database, accounts, audit, settings.signing_key(), checks)
    access = Access(sessions, SessionCookies(sessions, cookie_format(settings)), write_origins(settings))
    if checks is not None:
        access = replace(
            access, oidc=make_oidc_logins(settings, database, checks, sessions, accounts, application.scopes)
        )
    if "password" not in settings.auth:
        return access
    passwords = make_passwords(settings)
    limits = GuessingLimits(SqlLoginFailures(database), settings.signing_key())
    return replace(access, logins=Logins(accounts, passwords, limits, audit), passwords=passwords)


def make_sessions(
    settings: Settings,
    database: Database,
    accounts: SqlAccounts,
    audit: Audit,
    key: bytes,
    check: SessionCheck | None = None,
) -> Sessions:
    """The sessions of a server, in its database or, of logins, in Redis.

    Args:
        key: The server's secret, for CSRF tokens; commands need none.

    Raises:
        ConfigurationError: See `RedisSessions`.
    """
    store: SessionStore = SqlSessions(database)
    if settings.redis_url is not None:
        store = RoutedSessions(RedisSessions(settings.redis_url.get_secret_value()), store)
    lifetimes = Lifetimes(
        settings.session_idle_seconds, settings.session_max_seconds, settings.access_token_seconds
    )
    return Sessions(store, accounts, audit, lifetimes, key, check=check)


def make_passwords(settings: Settings) -> Passwords:
    """Hashes passwords as the settings say."""
    return Passwords(
        concurrency=settings.password_hash_concurrency,
        memory_kib=settings.password_hash_memory_mib * 1024,
    )


def make_authenticators(
    settings: Settings, application: Application, access: Access | None
) -> Sequence[Authenticator]:
    """The chain that identifies callers.

    Raises:
        ConfigurationError: The settings name authenticators that the application does not have.
    """
    if application.authenticators is not None:
        return application.authenticators
    if "application" in settings.auth:
        raise ConfigurationError(
            "BACKCHANNEL_AUTH has application, but the application has no authenticators: give it some, or name others."
        )
    chain: list[Authenticator] = []
    if access is not None:
        # Before JWTs: only these tokens have a prefix by which they are known.
        chain.append(BearerAuthenticator(access.sessions))
    for method in settings.auth:
        if method == "jwt":
            chain.append(_jwt(settings, application.scopes))
        elif method == "proxy":
            chain.append(ProxyHeaderAuthenticator(settings.proxy_user_header))
    if access is not None:
        chain.append(SessionAuthenticator(access.sessions, access.cookies, access.origins))
    if "anonymous" in settings.auth:
        # Last: it accepts every request, so nothing after it would be looked at.
        chain.append(_anonymous(settings))
    return chain


def _anonymous(settings: Settings) -> Authenticator:
    return AnonymousAuthenticator(
        settings.signing_key(),
        cookie_format(settings),
        write_origins(settings),
        development=not settings.production,
    )


def _jwt(settings: Settings, scopes: Collection[str]) -> Authenticator:
    return JwtAuthenticator(
        _key_sets(settings),
        issuer=settings.jwt_issuer,
        audiences=settings.jwt_audience,
        scopes=scopes,
        leeway=settings.jwt_leeway_seconds,
        header=settings.jwt_header,
        claims=ClaimNames(
            user=settings.jwt_user_claim,
            tenant=settings.jwt_tenant_claim,
            scope=settings.jwt_scope_claim,
        ),
    )


def _key_sets(settings: Settings) -> list[KeySet]:
    secret, url = settings.jwt_secret, settings.jwt_jwks_url
    shared: list[KeySet] = [] if secret is None else [SecretKeySet(secret.get_secret_value())]
    return shared if url is None else [*shared, JwksKeySet(url)]


def cookie_format(settings: Settings) -> CookieFormat:
    """How the cookies of this deployment are named, and which attributes they have.

    Raises:
        ConfigurationError: See `Settings.signing_key`.
    """
    return CookieFormat(
        deployment_name(settings.signing_key(), settings.prefix),
        path=settings.prefix or "/",
        always_secure=settings.served_by_https,
        cross_site=settings.cookie_same_site == "none",
    )


def session_cookie_name(settings: Settings) -> str:
    """The name of the session cookie; empty if there is none."""
    if not settings.logins:
        return ""
    return cookie_format(settings).name(COOKIE, secure=settings.served_by_https)


def write_origins(settings: Settings) -> WriteOrigins:
    """Which pages may send requests that change something with a person's cookie."""
    return WriteOrigins(
        public_url=settings.public_url, allowed=settings.cors_origins, development=not settings.production
    )
