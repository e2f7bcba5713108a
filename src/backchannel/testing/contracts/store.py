"""The contract tests of conversation stores: the SDK's `Store` contract, and known pitfalls of implementations.

Subclass `StoreContract`, provide the fixture `store`, and run pytest:

    class TestMyStore(StoreContract):
        @pytest.fixture
        async def store(self):
            async with open_my_store() as store:
                yield store

Tests of the optional protocols in `backchannel.stores.base` are skipped for stores that do not implement them.
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
    assistant_message,
    texts,
)
from backchannel.testing.contracts.store_extensions import ExtensionsSuite
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
    "assistant_message",
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
    ExtensionsSuite,
    SearchSuite,
):
    """All store suites. Each test uses an empty store."""
