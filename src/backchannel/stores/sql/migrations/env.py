"""Alembic's entry point; see `backchannel.stores.sql.migrate`."""

from backchannel.stores.sql.migrate import run_env

run_env()
