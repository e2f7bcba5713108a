"""The limits on requests."""

from backchannel.application import Application
from backchannel.http.rate_limits import RateLimits
from backchannel.limits.base import RateLimiter
from backchannel.limits.fallback import FallbackRateLimiter
from backchannel.limits.memory import MemoryRateLimiter
from backchannel.limits.redis import RedisRateLimiter
from backchannel.limits.rules import Rules
from backchannel.settings import Settings
from backchannel.settings.limits import ADDRESS_RATE, RATE
from backchannel.settings.rates import OFF, parse_rates


def make_rate_limits(settings: Settings, application: Application) -> RateLimits | None:
    """The limits on the rate of requests; `None` if all are off.

    Raises:
        ConfigurationError: See `Settings.signing_key` and `RedisRateLimiter`.
    """
    usual = (RATE, ADDRESS_RATE) if settings.production else (OFF, OFF)
    rules = Rules(
        user=parse_rates(settings.rate_limit or usual[0]),
        address=parse_rates(settings.rate_limit_address or usual[1]),
        tenant=parse_rates(settings.rate_limit_tenant),
    )
    if not (rules.user or rules.address or rules.tenant):
        return None
    limiter: RateLimiter = MemoryRateLimiter()
    if settings.redis_url is not None:
        shared = RedisRateLimiter(settings.redis_url.get_secret_value(), settings.signing_key())
        limiter = FallbackRateLimiter(shared, limiter)
    return RateLimits(limiter, rules, _credential_headers(settings, application))


def _credential_headers(settings: Settings, application: Application) -> frozenset[bytes] | None:
    if application.authenticators is not None:
        return None
    names = {"authorization", "cookie"}
    if "jwt" in settings.auth:
        names.add(settings.jwt_header.lower())
    if "proxy" in settings.auth:
        names.add(settings.proxy_user_header.lower())
    return frozenset(name.encode() for name in names)
