"""Alembic's entry: everything is decided by `backchannel.stores.sql.migrate`."""

from backchannel.stores.sql.migrate import run_env

run_env()
