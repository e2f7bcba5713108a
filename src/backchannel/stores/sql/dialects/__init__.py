"""The differences between databases: one file for each, behind one contract."""

from backchannel.stores.sql.dialects.base import Dialect, Match, PoolOptions
from backchannel.stores.sql.dialects.urls import dialect_of

__all__ = ["Dialect", "Match", "PoolOptions", "dialect_of"]
