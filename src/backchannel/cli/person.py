"""The person that a command is about."""

from backchannel.context import Identity
from backchannel.errors import ConfigurationError


def person(user: str, tenant: str) -> Identity:
    """Whose data is meant.

    Raises:
        ConfigurationError: Nobody can have such a name.
    """
    try:
        return Identity(user, tenant=tenant)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None


def shown(identity: Identity) -> str:
    """The person for messages; what is odd in a name is escaped."""
    return f"{identity.user!r} (tenant {identity.tenant!r})"
