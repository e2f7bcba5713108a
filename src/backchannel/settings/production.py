"""What makes settings unsafe in production."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import SecretStr

from backchannel.web.forwarded import TrustedProxies
from backchannel.web.origins import Origin

if TYPE_CHECKING:
    from backchannel.settings import Settings

_PLACEHOLDER = re.compile(
    r"change[-_ ]?me|replace[-_ ]?me|your[-_ ](secret|key)|\.\.\.|^<.*>$", re.IGNORECASE
)


def production_problems(settings: "Settings") -> Iterator[str]:
    """What keeps a server with these settings from starting in production: each problem is a sentence."""
    if "auth" not in settings.model_fields_set:
        yield "BACKCHANNEL_AUTH must be set in production, such as BACKCHANNEL_AUTH=jwt"
    elif set(settings.auth) == {"anonymous"}:
        yield (
            "BACKCHANNEL_AUTH must not be only anonymous in production, where anybody could use the model: add a way "
            "to log in, as in jwt,anonymous"
        )
    if "proxy" in settings.auth and "trusted_proxies" not in settings.model_fields_set:
        yield (
            "BACKCHANNEL_TRUSTED_PROXIES must name the proxy in production, because BACKCHANNEL_AUTH has proxy: by "
            "default every program of this machine counts as one"
        )
    elif "proxy" in settings.auth and TrustedProxies(settings.trusted_proxies).everybody:
        yield (
            "BACKCHANNEL_TRUSTED_PROXIES must name the proxy in production, and not everybody, because "
            "BACKCHANNEL_AUTH has proxy: who reaches the server could be anybody"
        )
    if settings.secret_key is None:
        yield "BACKCHANNEL_SECRET_KEY must be set in production; `openssl rand -hex 32` makes one"
    for name, secret, source in (
        ("SECRET_KEY", settings.secret_key, "`openssl rand -hex 32` makes a key"),
        ("JWT_SECRET", settings.jwt_secret, "`openssl rand -hex 32` makes a key"),
        ("OIDC_CLIENT_SECRET", settings.oidc_client_secret, "the issuer shows the right one"),
    ):
        if _is_placeholder(secret):
            yield f"BACKCHANNEL_{name} is a placeholder, which everybody knows; {source}"
    if settings.debug:
        yield "BACKCHANNEL_DEBUG must be off in production: it sends causes of errors to callers"
    if "*" in settings.cors_origins:
        yield "BACKCHANNEL_CORS_ORIGINS must name origins in production, not *"
    address = Origin.parse(settings.public_url or "")
    if address is not None and address.scheme == "http" and not address.is_loopback:
        yield "BACKCHANNEL_PUBLIC_URL must start with https:// in production: cookies could be read on the way"
    if (
        "jwt" in settings.auth
        and settings.jwt_jwks_url
        and not (settings.jwt_issuer or settings.jwt_audience)
    ):
        yield (
            "BACKCHANNEL_JWT_ISSUER or BACKCHANNEL_JWT_AUDIENCE must be set in production: the keys at "
            "BACKCHANNEL_JWT_JWKS_URL may sign tokens for others, too"
        )
    if "oidc" in settings.auth:
        yield from _oidc_problems(settings)


def _oidc_problems(settings: "Settings") -> Iterator[str]:
    if settings.public_url is None:
        yield (
            "BACKCHANNEL_PUBLIC_URL must be set in production, because BACKCHANNEL_AUTH has oidc: the issuer "
            "sends people back there"
        )
    if settings.oidc_issuer is not None and not settings.oidc_issuer.startswith("https://"):
        yield "BACKCHANNEL_OIDC_ISSUER must start with https:// in production"
    others = {"proxy", "jwt"} & set(settings.auth)
    if settings.jwt_issuer is not None and settings.jwt_issuer == settings.oidc_issuer:
        others.discard("jwt")
    if others and not settings.oidc_user_prefix:
        yield (
            f"BACKCHANNEL_OIDC_USER_PREFIX must be set in production, such as corp:, because BACKCHANNEL_AUTH has "
            f"{' and '.join(sorted(others))}, too, and one id could be of two people"
        )


def _is_placeholder(secret: SecretStr | None) -> bool:
    return secret is not None and _PLACEHOLDER.search(secret.get_secret_value()) is not None
