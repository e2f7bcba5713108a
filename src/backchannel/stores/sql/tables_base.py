"""What all tables share: their metadata, and the types of ids and owners."""

from sqlalchemy import Column, MetaData

from backchannel.stores.sql.types import Exact

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

ID = Exact(80)
ITEM_ID = Exact(255)
OWNER = Exact(255)


def owner_columns() -> tuple[Column[str], Column[str]]:
    """The two columns of a row's owner. Tables of applications use them too."""
    return Column("tenant", OWNER, nullable=False), Column("user_id", OWNER, nullable=False)
