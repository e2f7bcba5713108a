"""What a store of conversations must do, as tests: the SDK's contract, and what usually goes wrong with it.

Subclass `StoreContract`, provide the fixture `store`, and run pytest:

    class TestMyStore(StoreContract):
        @pytest.fixture
        async def store(self):
            async with open_my_store() as store:
                yield store

Tests that need more than the SDK's contract are skipped for stores that do not offer it.
"""

from backchannel.testing.contracts.store_attachments import AttachmentsSuite
from backchannel.testing.contracts.store_base import (
    ADA,
    ADA_ELSEWHERE,
    BOB,
    NASTY,
    STRANGERS,
    a_saved_thread,
    a_thread,
    said,
    texts,
)
from backchannel.testing.contracts.store_beyond import BeyondSuite
from backchannel.testing.contracts.store_items import ItemsSuite
from backchannel.testing.contracts.store_ownership import OwnershipSuite
from backchannel.testing.contracts.store_pages import PagesSuite
from backchannel.testing.contracts.store_search import SearchSuite
from backchannel.testing.contracts.store_threads import ThreadsSuite
from backchannel.testing.contracts.store_values import ValuesSuite
from backchannel.testing.contracts.store_writers import WritersSuite

__all__ = [
    "ADA",
    "ADA_ELSEWHERE",
    "BOB",
    "NASTY",
    "STRANGERS",
    "StoreContract",
    "a_saved_thread",
    "a_thread",
    "said",
    "texts",
]


class StoreContract(
    ThreadsSuite,
    ItemsSuite,
    PagesSuite,
    ValuesSuite,
    AttachmentsSuite,
    OwnershipSuite,
    WritersSuite,
    BeyondSuite,
    SearchSuite,
):
    """The suite. Each test uses a store that is empty."""
