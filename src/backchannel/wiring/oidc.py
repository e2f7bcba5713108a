"""Logins with an identity provider."""

from collections.abc import Collection, Mapping, Set
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from backchannel.authenticators.jwt import ClaimNames, identity_of_claims
from backchannel.context import Identity, known_scopes
from backchannel.errors import ConfigurationError
from backchannel.oidc.attempts import Attempts
from backchannel.oidc.checks import ProviderChecks
from backchannel.oidc.logins import ClaimMapping, OidcLogins
from backchannel.oidc.provider import Client, Provider
from backchannel.oidc.sealing import Sealer
from backchannel.sessions.service import Sessions
from backchannel.settings import Settings
from backchannel.stores.sql.accounts import SqlAccounts
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.login_attempts import SqlLoginAttempts
from backchannel.stores.sql.provider_logins import SqlProviderLogins


def make_provider_checks(settings: Settings, database: Database) -> ProviderChecks:
    """Checks of logins at the provider, and with them the provider itself.

    Raises:
        ConfigurationError: The provider is not set; see also `Settings.signing_key`.
    """
    return ProviderChecks(
        make_provider(settings),
        SqlProviderLogins(database),
        Sealer(settings.signing_key()),
        seconds=settings.oidc_check_seconds,
        leeway=settings.jwt_leeway_seconds,
    )


def make_provider(settings: Settings) -> Provider:
    """The provider of the settings. Nothing is fetched before it is needed.

    Raises:
        ConfigurationError: It is not set.
    """
    if settings.oidc_issuer is None or settings.oidc_client_id is None:
        raise ConfigurationError("BACKCHANNEL_OIDC_ISSUER and BACKCHANNEL_OIDC_CLIENT_ID must be set.")
    secret = settings.oidc_client_secret
    client = Client(
        settings.oidc_client_id,
        secret.get_secret_value() if secret is not None else None,
        settings.oidc_name or urlsplit(settings.oidc_issuer).netloc,
    )
    return Provider(settings.oidc_issuer, client, loopback=not settings.production)


def make_oidc_logins(
    settings: Settings,
    database: Database,
    checks: ProviderChecks,
    sessions: Sessions,
    accounts: SqlAccounts,
    scopes: Collection[str],
) -> OidcLogins:
    """Logins with the provider of the checks.

    Args:
        scopes: Those of the application.
    """
    return OidcLogins(
        checks.provider,
        Attempts(SqlLoginAttempts(database), Sealer(settings.signing_key())),
        checks,
        sessions,
        accounts,
        _claim_mapping(settings, known_scopes(scopes)),
        scopes=" ".join(settings.oidc_scopes),
        leeway=settings.jwt_leeway_seconds,
    )


def _claim_mapping(settings: Settings, known: Set[str]) -> ClaimMapping:
    names = ClaimNames(
        user=settings.oidc_user_claim,
        tenant=settings.oidc_tenant_claim,
        scope=settings.oidc_scope_claim,
    )
    set_ones = settings.model_fields_set & {"oidc_tenant_claim", "oidc_scope_claim"}
    wanted = {names.user, names.name, *(getattr(settings, each) for each in set_ones)}

    def identify(claims: Mapping[str, Any]) -> Identity:
        found = identity_of_claims(claims, names, known)
        return replace(found, user=settings.oidc_user_prefix + found.user)

    return ClaimMapping(identify, sorted(wanted), names.user)
