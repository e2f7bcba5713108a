"""What goes wrong with items and with pages."""

from datetime import UTC

from broken_stores import Writes, breaks
from chatkit.store import NotFoundError
from chatkit.types import HiddenContextItem, Page, SDKHiddenContextItem

from backchannel.testing.memory_store import MemoryStore


@breaks("test_items_of_every_kind_come_back_as_they_were_saved")
class HidesHiddenItems(MemoryStore):
    """Leaves out of pages what clients must not see, and so the model does not see it either."""

    def page(self, entries, limit, after, order):
        hidden = HiddenContextItem | SDKHiddenContextItem
        return super().page([each for each in entries if not isinstance(each, hidden)], limit, after, order)


@breaks(
    "test_adding_an_item_again_updates_it_in_place",
    "test_a_workflow_is_added_open_and_again_when_it_is_done",
    "test_saving_an_item_updates_it_in_place",
)
class AppendsDuplicates(MemoryStore):
    """Has no unique key: what is written again is there twice."""

    def __init__(self) -> None:
        super().__init__()
        self.lists = {}

    async def save_item(self, thread_id, item, context):
        await super().save_item(thread_id, item, context)
        self.lists.setdefault(thread_id, []).append(item.model_copy(deep=True))

    async def load_thread_items(self, thread_id, after, limit, order, context):
        self.own(thread_id, context)
        return self.page(self.lists.get(thread_id, []), limit, after, order)


@breaks(
    "test_adding_an_item_again_updates_it_in_place",
    "test_a_workflow_is_added_open_and_again_when_it_is_done",
    "test_saving_an_item_updates_it_in_place",
    "test_concurrent_additions_repeat_no_item",
)
class MovesToTheEnd(MemoryStore):
    """Deletes and inserts, so that an item that changes is the newest."""

    async def save_item(self, thread_id, item, context):
        self.own(thread_id, context).items.pop(item.id, None)
        await super().save_item(thread_id, item, context)


@breaks(
    "test_adding_an_item_again_updates_it_in_place",
    "test_a_workflow_is_added_open_and_again_when_it_is_done",
)
class AddsOnce(MemoryStore):
    """`INSERT … ON CONFLICT DO NOTHING` for everything: a workflow stays open for ever."""

    async def add_thread_item(self, thread_id, item, context):
        if item.id not in self.own(thread_id, context).items:
            await super().add_thread_item(thread_id, item, context)


@breaks("test_saving_an_item_that_was_never_added_adds_it")
class UpdatesOnly(MemoryStore):
    """`UPDATE items` where an upsert is asked for."""

    async def add_thread_item(self, thread_id, item, context):
        self.own(thread_id, context).items.setdefault(item.id, item.model_copy(deep=True))
        await super().add_thread_item(thread_id, item, context)

    async def save_item(self, thread_id, item, context):
        if item.id in self.own(thread_id, context).items:
            await super().save_item(thread_id, item, context)


@breaks("test_adding_an_answered_input_request_again_keeps_the_answer")
class AsksAgain(MemoryStore):
    """Overwrites an answered question with the question."""

    async def add_thread_item(self, thread_id, item, context):
        await self.save_item(thread_id, item, context)


class Sorts(MemoryStore):
    """Not broken by itself: subclasses sort items by something else than the order of adding."""

    def key(self, item, place):
        return place

    async def load_thread_items(self, thread_id, after, limit, order, context):
        items = list(self.items(thread_id, context).values())
        places = {item.id: place for place, item in enumerate(items)}
        return self.page(sorted(items, key=lambda item: self.key(item, places[item.id])), limit, after, order)


@breaks("test_items_are_ordered_by_insertion_regardless_of_dates_and_ids")
class SortsByDate(Sorts):
    """`ORDER BY created_at`."""

    def key(self, item, place):
        return item.created_at


@breaks("test_items_are_ordered_by_insertion_regardless_of_dates_and_ids")
class SortsById(Sorts):
    """`ORDER BY id`: right as long as nobody but the store makes ids."""

    def key(self, item, place):
        return item.id


@breaks("test_order_survives_deletions", "test_deleting_a_tail_leaves_what_came_before")
class CountsForTheSequence(MemoryStore):
    """`COUNT(*) + 1` as the number of the next item, which may be taken."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = set()

    async def save_item(self, thread_id, item, context):
        items = self.own(thread_id, context).items
        if item.id not in items:
            number = (thread_id, len(items) + 1)
            assert number not in self.taken, "UNIQUE constraint failed: items.thread_id, items.seq"
            self.taken.add(number)
        await super().save_item(thread_id, item, context)


@breaks(
    "test_the_same_item_id_in_two_threads_is_two_items",
    "test_deleting_does_not_affect_other_owners",
)
class KeepsItemsByIdAlone(MemoryStore):
    """Has the item's id as the whole primary key: models that number their messages reach other threads."""

    async def save_item(self, thread_id, item, context):
        self.own(thread_id, context)
        for conversation in self.conversations.values():
            conversation.items.pop(item.id, None)
        await super().save_item(thread_id, item, context)


@breaks(
    "test_the_same_item_id_in_two_threads_is_two_items",
    "test_deleting_does_not_affect_other_owners",
)
class DeletesItemsByIdAlone(MemoryStore):
    """`DELETE FROM items WHERE id = …`."""

    async def delete_thread_item(self, thread_id, item_id, context):
        if item_id in self.items(thread_id, context):
            for conversation in self.conversations.values():
                conversation.items.pop(item_id, None)


@breaks("test_a_stored_item_is_independent_of_the_object")
class KeepsTheVeryItem(MemoryStore):
    """Keeps the object that it was given."""

    async def save_item(self, thread_id, item, context):
        self.own(thread_id, context).items[item.id] = item


@breaks("test_a_stored_item_is_independent_of_the_object")
class CopiesItemsShallowly(MemoryStore):
    """`model_copy()`: the content is still the same list."""

    async def load_item(self, thread_id, item_id, context):
        await super().load_item(thread_id, item_id, context)
        return self.items(thread_id, context)[item_id].model_copy()


@breaks("test_deleting_one_item_leaves_the_others")
class DeletesFromPagesOnly(MemoryStore):
    """Marks items as deleted and forgets the mark when one is loaded by its id."""

    def __init__(self) -> None:
        super().__init__()
        self.deleted = {}

    async def delete_thread_item(self, thread_id, item_id, context):
        if item_id in self.items(thread_id, context):
            self.deleted[item_id] = self.items(thread_id, context).pop(item_id)

    async def load_item(self, thread_id, item_id, context):
        return self.deleted.get(item_id) or await super().load_item(thread_id, item_id, context)


@breaks("test_deleting_one_item_leaves_the_others", "test_deleting_an_item_again_changes_nothing")
class DeletesTheRestToo(MemoryStore):
    """Deletes from an item on."""

    async def delete_thread_item(self, thread_id, item_id, context):
        if item_id in self.items(thread_id, context):
            await self.delete_items_after(thread_id, item_id, context)
        await super().delete_thread_item(thread_id, item_id, context)


@breaks("test_deleting_an_item_again_changes_nothing", "test_malformed_ids_are_not_found")
class WantsItemsToDelete(MemoryStore):
    """Raises when there is nothing to delete."""

    async def delete_thread_item(self, thread_id, item_id, context):
        del self.items(thread_id, context)[item_id]


@breaks(
    "test_unknown_ids_are_not_found",
    "test_malformed_ids_are_not_found",
    "test_other_owners_see_nothing",
    "test_an_unknown_thread_is_not_a_cursor",
)
class RaisesKeyErrors(MemoryStore):
    """Raises what its dictionaries raise, in place of the SDK's error."""

    async def load_thread(self, thread_id, context):
        try:
            return await super().load_thread(thread_id, context)
        except NotFoundError as error:
            raise KeyError(thread_id) from error

    def page(self, entries, limit, after, order):
        try:
            return super().page(entries, limit, after, order)
        except NotFoundError as error:
            raise KeyError(after) from error


@breaks("test_unknown_ids_are_not_found")
class MakesUpItems(MemoryStore):
    """Gives `None` where there is no item."""

    async def load_item(self, thread_id, item_id, context):
        return self.items(thread_id, context).get(item_id)


@breaks("test_any_limit_gives_a_page_of_threads", "test_any_limit_gives_a_page_of_items")
class TakesAnyLimit(MemoryStore):
    """Hands the client's limit on."""

    def page(self, entries, limit, after, order):
        page = super().page(entries, 1000, after, order)
        more = len(page.data) > limit
        data = page.data[:limit]
        return Page(data=data, has_more=more, after=data[-1].id if more else None)


@breaks("test_no_data_gives_an_empty_page")
class TakesEmptyForMissing(MemoryStore):
    """Finds no items and says that there is no thread."""

    async def load_thread_items(self, thread_id, after, limit, order, context):
        page = await super().load_thread_items(thread_id, after, limit, order, context)
        if not page.data and not self.items(thread_id, context):
            raise NotFoundError(thread_id)
        return page


@breaks("test_dates_are_naive_like_those_of_the_sdk")
class GivesAwareDatesInPages(MemoryStore):
    """Puts the dates right where one thing is loaded, and not where many are."""

    def page(self, entries, limit, after, order):
        page = super().page(entries, limit, after, order)
        for each in page.data:
            each.created_at = each.created_at.astimezone(UTC)
        return page


@breaks(
    "test_no_data_gives_an_empty_page",
    "test_a_full_last_page_has_no_more",
    "test_pages_of_threads_have_no_gap_and_no_repetition",
    "test_items_are_ordered_by_insertion_regardless_of_dates_and_ids",
)
class AlwaysNamesACursor(MemoryStore):
    """Sets `after` on the last page too, and there is no last id where there is nothing."""

    def page(self, entries, limit, after, order):
        page = super().page(entries, limit, after, order)
        page.after = page.data[-1].id
        return page


@breaks(
    "test_pages_of_threads_have_no_gap_and_no_repetition",
    "test_items_are_ordered_by_insertion_regardless_of_dates_and_ids",
)
class NamesNoCursor(MemoryStore):
    """`Page(next_after=…)`, which pydantic ignores."""

    def page(self, entries, limit, after, order):
        page = super().page(entries, limit, after, order)
        return Page(data=page.data, has_more=page.has_more)


@breaks("test_a_full_last_page_has_no_more")
class PromisesMore(MemoryStore):
    """Takes a full page for one that has a next."""

    def page(self, entries, limit, after, order):
        page = super().page(entries, limit, after, order)
        if len(page.data) == limit:
            page.has_more, page.after = True, page.data[-1].id
        return page


@breaks("test_pages_of_threads_have_no_gap_and_no_repetition")
class SkipsThoseOfTheSameDate(MemoryStore):
    """`WHERE created_at > …`: of threads with the same date, those on the next page are never seen."""

    async def load_threads(self, limit, after, order, context):
        if after is None:
            return await super().load_threads(limit, after, order, context)
        date = self.own(after, context).thread.created_at
        rest = (await super().load_threads(10_000, after, order, context)).data
        rest = [each for each in rest if each.created_at != date]
        more = len(rest) > limit
        return Page(data=rest[:limit], has_more=more, after=rest[limit - 1].id if more else None)


@breaks(
    "test_concurrent_additions_repeat_no_item",
    "test_concurrent_additions_repeat_no_thread",
)
class PagesByOffset(MemoryStore):
    """Remembers how far a cursor was from the beginning, which moves."""

    def __init__(self) -> None:
        super().__init__()
        self.offsets = {}

    def page(self, entries, limit, after, order):
        ordered = list(reversed(entries)) if order == "desc" else list(entries)
        if after is None or after not in self.offsets:
            page = super().page(entries, limit, after, order)
        else:
            before = ordered[: self.offsets[after]]
            page = super().page(ordered, limit, before[-1].id, "asc")
        if page.after is not None:
            self.offsets[page.after] = [each.id for each in ordered].index(page.after) + 1
        return page


@breaks(
    "test_an_unknown_thread_is_not_a_cursor",
    "test_an_item_of_another_thread_is_not_a_cursor",
    "test_malformed_ids_are_not_found",
)
class StartsOver(MemoryStore):
    """Begins again where it does not know the cursor: a client that pages never comes to an end."""

    def page(self, entries, limit, after, order):
        known = after in {each.id for each in entries}
        return super().page(entries, limit, after if known else None, order)


@breaks("test_an_item_of_another_thread_is_not_a_cursor")
class LooksForCursorsEverywhere(MemoryStore):
    """Finds the cursor's number without asking in whose thread it is."""

    async def load_thread_items(self, thread_id, after, limit, order, context):
        try:
            return await super().load_thread_items(thread_id, after, limit, order, context)
        except NotFoundError:
            if any(after in each.items for each in self.conversations.values()):
                return Page()
            raise


@breaks("test_an_unknown_thread_is_not_a_cursor")
class LooksForThreadsEverywhere(MemoryStore):
    """Finds the cursor's date without asking whose thread it is."""

    async def load_threads(self, limit, after, order, context):
        foreign = after in self.conversations and self.conversations[after].owner != self.owner(context)
        return Page() if foreign else await super().load_threads(limit, after, order, context)


@breaks("test_a_very_long_text_comes_back_whole")
class CutsLongTexts(Writes):
    """Keeps items in a `TEXT` column of MySQL, and not in its strict mode."""

    def written(self, value):
        if value.__class__.__name__ != "AssistantMessageItem":
            return value
        short = [part.model_copy(update={"text": part.text[:65_535]}) for part in value.content]
        return value.model_copy(update={"content": short})
