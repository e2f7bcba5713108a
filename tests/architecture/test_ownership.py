"""D5: no statement on people's rows is built anywhere but where ownership is added to it."""

import ast
from pathlib import Path

import pytest

from backchannel.stores.sql.tables import file_deletions, login_attempts, login_failures, metadata, replicas
from backchannel.todo.tables import metadata as todo_metadata

ROOT = Path(__file__).parents[2] / "src" / "backchannel"
BUILDERS = {"select", "insert", "update", "delete", "text"}
ALLOWED = {
    "stores/sql/ownership.py": "the one place",
    "stores/sql/dialects/mysql.py": "upserts, with the condition of ownership.py; locks",
    "stores/sql/dialects/postgresql.py": "upserts, with the condition of ownership.py; locks",
    "stores/sql/dialects/sqlite.py": "upserts, with the condition of ownership.py",
    "sessions/sql.py": "housekeeping: deletes expired sessions of everybody",
    "stores/sql/accounts.py": "the operator's list of all accounts",
    "stores/sql/audit_log.py": "written for everybody's acts, read by the operator",
    "stores/sql/login_attempts.py": "logins under way, whose owner is known at their end",
    "stores/sql/provider_logins.py": "housekeeping: deletes what is known of expired sessions of everybody",
    "stores/sql/login_failures.py": "counts of failed logins, which have no owner",
    "stores/sql/budget_accounts.py": "accounts of tenants, which are of no user; reservations of dead processes",
    "stores/sql/engine.py": "SELECT 1, to ask whether the database answers",
    "stores/sql/idempotency.py": "maintenance: deletes old keys of all owners",
    "stores/sql/server_info.py": "the server's version and clock",
    "stores/sql/replicas.py": "the server's own processes, which are nobody's",
    "stores/sql/runs.py": "who makes a run and which is next is the replicas' business, over everybody's rows",
    "stores/sql/run_events.py": "the event log: one writer, one reader and one sweep for everybody's runs",
    "stores/sql/files.py": "files that are found by a signed link; housekeeping of everybody's",
    "stores/sql/file_deletions.py": "rows that the caller may delete; scheduled deletions, which have no owner",
    "stores/sql/personal/retention.py": "housekeeping: finds what is old among everybody's threads, runs and usage",
}


def imported_builders(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sqlalchemy"):
            found |= {alias.name for alias in node.names} & BUILDERS
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == "sqlalchemy"} - {
                "sqlalchemy"
            }
    return found


@pytest.mark.row("D5")
def test_statements_are_built_with_their_owner() -> None:
    """What builds statements by itself and is not allowed to should use stores.sql.ownership."""
    builders = {
        path.relative_to(ROOT).as_posix(): imported_builders(path)
        for path in ROOT.rglob("*.py")
        if "migrations" not in path.parts
    }
    assert {place for place, names in builders.items() if names} == set(ALLOWED)


@pytest.mark.row("D5")
def test_every_table_says_whose_its_rows_are() -> None:
    # Replicas are processes of the server's own; a failed login may be of a name without an account, and who makes an
    # attempt at a provider is known at its end. A scheduled deletion of a file outlives its owner.
    tables = [
        table
        for table in (*metadata.tables.values(), *todo_metadata.tables.values())
        if table not in (replicas, login_failures, login_attempts, file_deletions)
    ]
    assert len(tables) >= 10
    for table in tables:
        assert {"tenant", "user_id"} <= set(table.columns.keys()), table.name
        assert not table.c.tenant.nullable
        assert not table.c.user_id.nullable
