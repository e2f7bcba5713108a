"""The implementation of `backchannel db`."""

from collections.abc import Mapping, Sequence

from backchannel.cli.database import on_database
from backchannel.cli.terminal import confirm, print_table
from backchannel.errors import ConfigurationError
from backchannel.settings import Settings
from backchannel.stores.sql import migrate
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.migrate import CORE, Migrations, Version, versions

BASE = "base"
"""The version without any tables."""

type Sets = Mapping[str, tuple[Migrations, Version]]
"""Each set of migrations with its version in the database, by name."""


def current(settings: Settings) -> None:
    """Print the version of each set and the pending migrations."""
    sets = on_database(settings, _load_sets, newest=False)
    rows = [(name, version.current or "-", version.newest or "-") for name, (_, version) in sets.items()]
    print_table(("TABLES", "VERSION", "NEWEST"), *rows)
    pending = [(name, step) for name, (_, version) in sets.items() for step in version.pending]
    if pending:
        print("\n`backchannel db upgrade` would apply:")
        for name, step in pending:
            print(f"  {name} {step}")


def history(settings: Settings) -> None:
    """Print all migrations of each set, oldest first, and whether they are applied."""
    sets = on_database(settings, _load_sets, newest=False)
    rows: list[tuple[str, str, str, str]] = []
    for name, (migrations, version) in sets.items():
        applied = {step for step, _ in _steps(migrations, version.current)}
        rows += [
            (name, step, "applied" if step in applied else "-", doc)
            for step, doc in _steps(migrations, version.newest)
        ]
    print_table(("TABLES", "VERSION", "APPLIED", "WHAT IT DOES"), *rows)


def upgrade(settings: Settings) -> None:
    """Apply all pending migrations, and print them."""
    for name, version in on_database(settings, _upgrade, newest=False, create=True).items():
        print(f"{name}: {'nothing to do' if not version.pending else 'applied'}, at version {version.newest}")
        for step in version.pending:
            print(f"  {step}")


def downgrade(settings: Settings, tables: str, version: str, *, yes: bool) -> None:
    """Revert migrations of one set, newest first, after printing what is lost and asking for confirmation.

    Raises:
        ConfigurationError: There is no such set, no such version below the current one, or no terminal for the
            confirmation.
    """
    sets = on_database(settings, _load_sets, newest=False)
    if tables not in sets:
        raise ConfigurationError(f"There are no {tables!r} tables; --tables is one of {', '.join(sets)}.")
    migrations, installed = sets[tables]
    reverted = _migrations_after(migrations, installed, version)
    if not reverted:
        print(f"{tables}: nothing to do, at version {installed.current or 'none'}")
        return
    print(f"These steps of the {tables} tables are undone. What they added is lost, with all that is in it:")
    for step, doc in reverted:
        print(f"  {step}: {doc}")
    if version == BASE:
        print(f"All tables of the set go: {', '.join(sorted(migrations.metadata.tables))}.")
    confirm(f"Take the {tables} tables back to {version}?", yes=yes)

    async def revert(database: Database, _sets: Sequence[Migrations]) -> None:
        await migrate.downgrade(database, migrations, version)

    on_database(settings, revert, newest=False)
    print(f"{tables}: at version {version if version != BASE else 'none'}")


def _migrations_after(migrations: Migrations, installed: Version, version: str) -> Sequence[tuple[str, str]]:
    """The applied migrations after `version`, newest first."""
    applied = _steps(migrations, installed.current)
    below = [BASE, *(step for step, _ in applied)]
    if version not in below:
        raise ConfigurationError(
            f"The {installed.name} tables are at version {installed.current or 'none'} and can be taken back to "
            f"{', '.join(below[:-1]) or 'no other'}, not to {version!r}."
        )
    return applied[below.index(version) :][::-1]


def _steps(migrations: Migrations, until: str | None) -> Sequence[tuple[str, str]]:
    """The migrations up to a version as `(version, description)`, oldest first."""
    if until is None:
        return []
    steps = migrations.scripts().iterate_revisions(until, BASE)
    return [(step.revision, step.doc) for step in steps][::-1]


async def _load_sets(database: Database, sets: Sequence[Migrations]) -> Sets:
    by_name = {each.name: each for each in (CORE, *sets)}
    return {each.name: (by_name[each.name], each) for each in await versions(database, *sets)}


async def _upgrade(database: Database, sets: Sequence[Migrations]) -> Mapping[str, Version]:
    before = await versions(database, *sets)
    await migrate.upgrade(database, *sets)
    return {each.name: each for each in before}
