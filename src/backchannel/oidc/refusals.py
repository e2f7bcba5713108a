"""What people read when a login with a provider fails."""

import re

from backchannel.errors import BackchannelError

_CODE = re.compile(r"[a-z_]{1,40}")

_SENTENCES = {
    "access_denied": "{name} did not let you in, or you cancelled. Try again, or ask who manages your account.",
    "login_required": "{name} needs you to log in there first. Try again.",
    "interaction_required": "{name} needs something from you before you can log in. Try again.",
    "consent_required": "{name} needs your consent. Try again, and agree there.",
    "account_selection_required": "{name} needs you to choose an account. Try again.",
    "temporarily_unavailable": "{name} is overloaded or being maintained. Try again in a moment.",
    "server_error": "{name} has a problem. Try again in a moment.",
}

EXPIRED = (
    "This login was used already, took longer than ten minutes, or began in another browser. Log in again."
)
NOT_PROVEN = (
    "{name} gave an answer that does not prove who you are. Log in again, and tell the operator if it recurs."
)
MALFORMED = "The answer cannot be read. Log in again."
HAS_ACCOUNT = (
    "There is an account with a password here that has the id which {name} gave. Log in with the password, or ask the "
    "operator of this server."
)
UNUSABLE = "{name} says too little about you to log you in ({reason}). Tell the operator of this server."


class LoginFailedError(BackchannelError):
    """A login with an identity provider did not succeed. The message is for the person.

    Attributes:
        cause: For the log: why.
        return_to: Where the browser should go after the next try.
    """

    code = "login_failed"
    status = 400
    allow_retry = False

    def __init__(self, message: str, cause: str, return_to: str = "") -> None:
        super().__init__(message)
        self.cause = cause
        self.return_to = return_to


def refusal(name: str, code: str, return_to: str) -> LoginFailedError:
    """The error for what a provider answered in place of a code (RFC 6749, section 4.1.2.1; OpenID Connect Core 1.0,
    section 3.1.2.6).

    Args:
        name: The provider's name.
        code: Its `error`. Whatever is no code of that form is not shown, and neither is `error_description`: anybody
            can write them into a link.
    """
    known = code if _CODE.fullmatch(code) else "unknown"
    sentence = _SENTENCES.get(known)
    if sentence is None:
        sentence = "{name} refused the request of this server ({code}). Tell the operator of this server."
    return LoginFailedError(sentence.format(name=name, code=known), known, return_to)
