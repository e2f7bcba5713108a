"""What `backchannel db` does once the settings are known to be right."""

from collections.abc import Mapping, Sequence

from backchannel.cli.asking import confirm, print_table
from backchannel.cli.database import on_database
from backchannel.errors import ConfigurationError
from backchannel.settings import Settings
from backchannel.stores.sql import migrate
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.migrate import CORE, Migrations, Version, versions

BASE = "base"
"""The version at which a set has no tables."""

type Sets = Mapping[str, tuple[Migrations, Version]]
"""Each set of migrations and where it stands, by its name."""


def current(settings: Settings) -> None:
    """Print where each set stands and what an upgrade would do."""
    found = on_database(settings, _look, newest=False)
    rows = [(name, version.current or "-", version.newest or "-") for name, (_, version) in found.items()]
    print_table(("TABLES", "VERSION", "NEWEST"), *rows)
    pending = [(name, step) for name, (_, version) in found.items() for step in version.pending]
    if pending:
        print("\n`backchannel db upgrade` would apply:")
        for name, step in pending:
            print(f"  {name} {step}")


def history(settings: Settings) -> None:
    """Print every step of each set, the oldest first, and whether it is applied."""
    found = on_database(settings, _look, newest=False)
    rows: list[tuple[str, str, str, str]] = []
    for name, (migrations, version) in found.items():
        applied = {step for step, _ in _steps(migrations, version.current)}
        rows += [
            (name, step, "applied" if step in applied else "-", doc)
            for step, doc in _steps(migrations, version.newest)
        ]
    print_table(("TABLES", "VERSION", "APPLIED", "WHAT IT DOES"), *rows)


def upgrade(settings: Settings) -> None:
    """Apply what is pending, and print it."""
    for name, version in on_database(settings, _upgrade, newest=False, create=True).items():
        print(f"{name}: {'nothing to do' if not version.pending else 'applied'}, at version {version.newest}")
        for step in version.pending:
            print(f"  {step}")


def downgrade(settings: Settings, tables: str, version: str, *, yes: bool) -> None:
    """Undo steps of one set, the newest first, after saying what is lost and asking.

    Raises:
        ConfigurationError: There is no such set or no such version below the present one, or nobody to ask.
    """
    found = on_database(settings, _look, newest=False)
    if tables not in found:
        raise ConfigurationError(f"There are no {tables!r} tables; --tables is one of {', '.join(found)}.")
    migrations, stands = found[tables]
    undone = _undone(migrations, stands, version)
    if not undone:
        print(f"{tables}: nothing to do, at version {stands.current or 'none'}")
        return
    print(f"These steps of the {tables} tables are undone. What they added is lost, with all that is in it:")
    for step, doc in undone:
        print(f"  {step}: {doc}")
    if version == BASE:
        print(f"All tables of the set go: {', '.join(sorted(migrations.metadata.tables))}.")
    confirm(f"Take the {tables} tables back to {version}?", yes=yes)

    async def take_back(database: Database, _sets: Sequence[Migrations]) -> None:
        await migrate.downgrade(database, migrations, version)

    on_database(settings, take_back, newest=False)
    print(f"{tables}: at version {version if version != BASE else 'none'}")


def _undone(migrations: Migrations, stands: Version, version: str) -> Sequence[tuple[str, str]]:
    """The applied steps after `version`, the newest first."""
    applied = _steps(migrations, stands.current)
    below = [BASE, *(step for step, _ in applied)]
    if version not in below:
        raise ConfigurationError(
            f"The {stands.name} tables are at version {stands.current or 'none'} and can be taken back to "
            f"{', '.join(below[:-1]) or 'no other'}, not to {version!r}."
        )
    return applied[below.index(version) :][::-1]


def _steps(migrations: Migrations, until: str | None) -> Sequence[tuple[str, str]]:
    """Every step up to a version as `(version, what it does)`, the oldest first."""
    if until is None:
        return []
    steps = migrations.scripts().iterate_revisions(until, BASE)
    return [(step.revision, step.doc) for step in steps][::-1]


async def _look(database: Database, sets: Sequence[Migrations]) -> Sets:
    by_name = {each.name: each for each in (CORE, *sets)}
    return {each.name: (by_name[each.name], each) for each in await versions(database, *sets)}


async def _upgrade(database: Database, sets: Sequence[Migrations]) -> Mapping[str, Version]:
    before = await versions(database, *sets)
    await migrate.upgrade(database, *sets)
    return {each.name: each for each in before}
