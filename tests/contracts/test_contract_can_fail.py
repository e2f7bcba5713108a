"""Every check of the contract of stores finds at least one fault, and finds none where there is none."""

import inspect
from typing import Any

import broken_items
import broken_people
import broken_search
import broken_writers
import pytest
from broken_stores import BROKEN
from chatkit.store import Store

from backchannel.testing.contracts.store import StoreContract, a_saved_thread
from backchannel.testing.memory_store import MemoryStore

pytestmark = pytest.mark.row("D1", "H5")

# Importing them enters their stores in the table.
TABLES = (broken_items, broken_people, broken_search, broken_writers)

CHECKS = {name for name, _ in inspect.getmembers(StoreContract, callable) if name.startswith("test_")}


async def outcome(name: str, store: Store[Any]) -> BaseException | None:
    """Run one test of the contract against an empty store, as pytest would; what it raised, if anything."""
    test = getattr(StoreContract(), name)
    given: dict[str, Any] = {"store": store}
    try:
        if "thread" in inspect.signature(test).parameters:
            given["thread"] = await a_saved_thread(store)
        await test(**given)
    except (Exception, pytest.fail.Exception, pytest.skip.Exception) as raised:
        return raised
    return None


@pytest.mark.parametrize(("broken", "name"), BROKEN)
async def test_a_broken_store_is_found_out(broken: type[MemoryStore], name: str) -> None:
    raised = await outcome(name, broken())
    assert isinstance(raised, Exception | pytest.fail.Exception)
    # A slip in a broken store itself would be found by any test, and prove nothing of this one.
    assert not isinstance(raised, NameError | AttributeError)


@pytest.mark.parametrize("name", sorted(CHECKS))
async def test_the_reference_store_passes(name: str) -> None:
    assert await outcome(name, MemoryStore()) is None


def test_every_check_is_shown_to_fail() -> None:
    assert {name for _, name in BROKEN} == CHECKS


def test_the_whole_table_is_there() -> None:
    stores = {store for store, _ in BROKEN}
    assert {store.__module__ for store in stores} == {"broken_stores", *(each.__name__ for each in TABLES)}
    assert len(stores) >= 90
