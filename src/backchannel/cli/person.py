"""The person whose data a command processes."""

from backchannel.context import Identity
from backchannel.errors import ConfigurationError


def person(user: str, tenant: str) -> Identity:
    """The identity of the user and tenant given on the command line.

    Raises:
        ConfigurationError: The user or the tenant is not a valid id.
    """
    try:
        return Identity(user, tenant=tenant)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None


def display_name(identity: Identity) -> str:
    """The person as printed in messages. Control characters are escaped."""
    return f"{identity.user!r} (tenant {identity.tenant!r})"
