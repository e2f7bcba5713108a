"""The implementation of `backchannel user` and `backchannel token`."""

import getpass
import sys
from collections.abc import Collection

from backchannel.accounts.names import checked
from backchannel.accounts.passwords import check_policy
from backchannel.cli.people import People, with_people
from backchannel.cli.terminal import confirm, print_table
from backchannel.errors import BackchannelError, ConfigurationError
from backchannel.ids import new_id
from backchannel.settings import Settings
from backchannel.stores.times import utc_text
from backchannel.web.clients import Client

MAX_INPUT_CHARS = 10_000


def add(settings: Settings, name: str, *, tenant: str, scopes: Collection[str], user: str | None) -> None:
    """Add a user, and print the id.

    Raises:
        ConfigurationError: The name, the password, the id or a scope cannot be used.
    """
    try:
        # Before anybody types a password.
        checked(name)
    except BackchannelError as error:
        raise ConfigurationError(error.message) from None
    new = _new_password(name)

    async def work(people: People) -> None:
        account = await people.administration.add(
            name, new, user=user or new_id("user"), tenant=tenant, scopes=scopes
        )
        print(f"Added {account.name} (id {account.identity.user}, tenant {account.identity.tenant!r}).")

    with_people(settings, work, create=True)
    if not settings.logins:
        print("To let users log in, set BACKCHANNEL_AUTH=password and start the server again.")


def list_all(settings: Settings) -> None:
    """Print all users."""

    async def work(people: People) -> None:
        accounts = await people.accounts.all()
        if not accounts:
            print("There are no users. Make one with: backchannel user add NAME")
            return
        print_table(
            ("NAME", "TENANT", "ID", "SCOPES", "STATE", "ADDED"),
            *(
                (
                    each.name,
                    each.identity.tenant,
                    each.identity.user,
                    " ".join(sorted(each.identity.scopes)) or "-",
                    "disabled" if each.disabled else "enabled",
                    utc_text(each.created_at)[:10],
                )
                for each in accounts
            ),
        )

    with_people(settings, work)


def disable(settings: Settings, name: str) -> None:
    """Disable a user."""

    async def work(people: People) -> None:
        await people.administration.disable(await people.administration.find(name))
        print(f"Disabled {name}: all sessions and tokens have ended.")

    with_people(settings, work)


def enable(settings: Settings, name: str) -> None:
    """Enable a user."""

    async def work(people: People) -> None:
        await people.administration.enable(await people.administration.find(name))
        print(f"Enabled {name}.")

    with_people(settings, work)


def set_password(settings: Settings, name: str) -> None:
    """Set a new password."""

    async def check(people: People) -> None:
        await people.administration.find(name)

    with_people(settings, check)
    new = _new_password(name)

    async def work(people: People) -> None:
        await people.administration.set_password(await people.administration.find(name), new)
        print(f"Changed the password of {name}: all sessions and tokens have ended.")

    with_people(settings, work)


def delete(settings: Settings, name: str, *, yes: bool) -> None:
    """Delete a user."""

    async def find(people: People) -> str:
        return (await people.administration.find(name)).identity.user

    user = with_people(settings, find)
    confirm(f"Delete the account {name} (id {user})? Their threads stay.", yes=yes)

    async def work(people: People) -> None:
        await people.administration.delete(await people.administration.find(name))
        print(f"Deleted {name}. `backchannel erase {user}` deletes their threads and other data.")

    with_people(settings, work)


def token(
    settings: Settings,
    name: str,
    *,
    tenant: str | None,
    scopes: Collection[str] | None,
    days: int,
    label: str,
) -> None:
    """Make a personal token, and print it."""

    async def work(people: People) -> str:
        account = await people.administration.find(name, tenant)
        if account.disabled:
            raise ConfigurationError(f"{name} is disabled.")
        own = account.identity.scopes
        wanted = own if scopes is None else frozenset(scopes)
        if more := wanted - own:
            raise ConfigurationError(
                f"{name} does not have the scope {min(more)}; the account has: {' '.join(sorted(own))}"
            )
        made, session = await people.sessions.personal(account.with_scopes(wanted), label, days, Client())
        until = utc_text(session.expires_at)[:10]
        # Not on standard output, which has the token only.
        print(f"A token of {name} until {until}. It is not shown again.", file=sys.stderr)
        return made

    print(with_people(settings, work))
    if not settings.logins:
        print("To accept it, the server needs session or password in BACKCHANNEL_AUTH.", file=sys.stderr)


def _new_password(name: str) -> str:
    """A password from the terminal, asked for twice, or the first line of standard input.

    Raises:
        ConfigurationError: It cannot be used, or the two differ.
    """
    if sys.stdin.isatty():
        given = getpass.getpass("New password: ")
    else:
        given = sys.stdin.readline(MAX_INPUT_CHARS).removesuffix("\n").removesuffix("\r")
        if not given:
            raise ConfigurationError(
                "The password is missing: type it at a terminal, or send it as standard input."
            )
    try:
        check_policy(given, name)
    except BackchannelError as error:
        raise ConfigurationError(error.message) from None
    if sys.stdin.isatty() and getpass.getpass("Again: ") != given:
        raise ConfigurationError("The two passwords differ. Nothing was changed.")
    return given
