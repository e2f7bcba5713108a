"""Alembic's entry for the todo tables: everything is decided by `backchannel.sql`."""

from backchannel.sql import run_env

run_env()
