"""Why sessions and tokens are refused."""

from backchannel.errors import BackchannelError
from backchannel.sessions.base import Session

DISABLED = "This account is disabled. Ask the operator of this server."


class InvalidGrantError(BackchannelError):
    """A refresh token is not valid (RFC 6749, section 5.2)."""

    code = "invalid_grant"
    status = 400
    allow_retry = False


class InvalidScopeError(BackchannelError):
    """A scope is asked for that the person, or the login, does not have (RFC 6749, section 5.2)."""

    code = "invalid_scope"
    status = 400
    allow_retry = False


def ended_message(session: Session) -> str:
    """What the owner of a session that is not live is told."""
    match session.ended_reason:
        case "logout":
            return "You have logged out. Log in again."
        case "revoked":
            return "This login was revoked. Log in again."
        case "replaced":
            return "A newer login of this browser has replaced this one. Log in again."
        case "password":
            return "The password was changed after this login. Log in again."
        case "disabled":
            return DISABLED
        case "provider":
            return "Your login at the identity provider has ended. Log in again."
        case "reuse":
            return "A token of this login was used twice, so it may have been stolen. Log in again."
        case _:
            return "The session or token has expired. Log in again."
