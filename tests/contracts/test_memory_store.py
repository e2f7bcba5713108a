"""The reference store keeps the whole contract of stores, optional parts included."""

import pytest

from backchannel.stores.base import DeletesTail, KeepsFeedback, PatchesThreads
from backchannel.testing.contracts.store import StoreContract
from backchannel.testing.memory_store import MemoryStore

pytestmark = pytest.mark.row("D1", "D5", "H5")


@pytest.mark.row("P10", "P13", "P14", "P15", "P17", "P18")
class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()


def test_it_offers_everything_that_a_store_can() -> None:
    store = MemoryStore()
    assert isinstance(store, PatchesThreads)
    assert isinstance(store, DeletesTail)
    assert isinstance(store, KeepsFeedback)
