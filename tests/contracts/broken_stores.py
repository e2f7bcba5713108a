"""Stores with one fault each, as careless authors make them, and the tests that must find it.

Here: the table, and what goes wrong with threads and attachments. The others stand beside it.
"""

from collections.abc import Callable
from datetime import UTC

from chatkit.types import FileAttachment

from backchannel.testing.memory_store import Conversation, MemoryStore

BROKEN: list[tuple[type[MemoryStore], str]] = []
"""Every broken store with each test that must fail with it."""


def breaks[T: type[MemoryStore]](*tests: str) -> Callable[[T], T]:
    """Enter a store in the table with the tests that must fail with it."""

    def enter(store: T) -> T:
        BROKEN.extend((store, test) for test in tests)
        return store

    return enter


class Writes(MemoryStore):
    """Not broken: lets subclasses change whatever is about to be kept."""

    def written(self, value):
        return value

    async def save_thread(self, thread, context):
        await super().save_thread(self.written(thread), context)

    async def update_thread(self, thread_id, changes, context, **options):
        before = await self.load_thread(thread_id, context)
        after = self.written(before.model_copy(update=dict(changes)))
        changes = {name: getattr(after, name) for name in changes}
        return await super().update_thread(thread_id, changes, context, **options)

    async def save_item(self, thread_id, item, context):
        await super().save_item(thread_id, self.written(item), context)

    async def save_attachment(self, attachment, context):
        await super().save_attachment(self.written(attachment), context)


def without_none(value):
    match value:
        case dict():
            return {key: without_none(each) for key, each in value.items() if each is not None}
        case list():
            return [without_none(each) for each in value]
    return value


@breaks(
    "test_a_thread_comes_back_as_it_was_saved",
    "test_items_of_every_kind_come_back_as_they_were_saved",
)
class LosesNone(Writes):
    """Leaves out what is `None` when it writes JSON, inside of people's data too."""

    def written(self, value):
        return type(value).model_validate(without_none(value.model_dump()))


@breaks(
    "test_a_thread_comes_back_as_it_was_saved",
    "test_a_minimal_thread_comes_back_as_it_was_saved",
    "test_items_of_every_kind_come_back_as_they_were_saved",
    "test_saving_an_item_that_was_never_added_adds_it",
)
class CutsMicroseconds(Writes):
    """Keeps dates in a column that counts seconds, as MySQL does unless told otherwise."""

    def written(self, value):
        if not hasattr(value, "created_at"):
            return value
        return value.model_copy(update={"created_at": value.created_at.replace(microsecond=0)})


@breaks("test_a_minimal_thread_comes_back_as_it_was_saved", "test_saving_again_changes_the_thread")
class WritesNoneAsText(Writes):
    """Has a title column that must not be null."""

    def written(self, value):
        return value.model_copy(update={"title": value.title or ""}) if hasattr(value, "title") else value


@breaks(
    "test_saving_again_changes_the_thread",
    "test_an_owner_does_not_depend_on_the_token",
)
class InsertsThreadsOnly(MemoryStore):
    """Keeps a thread as it was saved first."""

    async def save_thread(self, thread, context):
        if thread.id in self.conversations:
            await self.load_thread(thread.id, context)
        else:
            await super().save_thread(thread, context)


@breaks(
    "test_saving_again_keeps_the_items_and_the_position",
    "test_saving_a_thread_does_not_undo_concurrent_items",
)
class ReplacesThreads(MemoryStore):
    """`REPLACE INTO threads`, and the foreign key deletes the items."""

    async def save_thread(self, thread, context):
        if thread.id in self.conversations:
            await self.load_thread(thread.id, context)
        await self.delete_thread(thread.id, context)
        await super().save_thread(thread, context)


@breaks(
    "test_saving_again_keeps_the_items_and_the_position",
    "test_concurrent_additions_repeat_no_thread",
)
class SortsByLastChange(MemoryStore):
    """Lists the thread that was saved last as the newest."""

    async def save_thread(self, thread, context):
        await super().save_thread(thread, context)
        self.conversations[thread.id] = self.conversations.pop(thread.id)

    async def load_threads(self, limit, after, order, context):
        threads = [each.thread for each in self.conversations.values() if each.owner == self.owner(context)]
        return self.page(threads, limit, after, order)


@breaks(
    "test_pages_of_threads_have_no_gap_and_no_repetition",
    "test_concurrent_additions_repeat_no_thread",
    "test_items_are_ordered_by_insertion_regardless_of_dates_and_ids",
)
class KnowsOneOrder(MemoryStore):
    """Gives everything oldest first, whatever is asked for."""

    def page(self, entries, limit, after, order):
        return super().page(entries, limit, after, "asc")


@breaks("test_pages_of_threads_have_no_gap_and_no_repetition")
class SortsThreadsByAdding(MemoryStore):
    """Leaves out `ORDER BY`, which is right as long as threads are saved when they are made."""

    async def load_threads(self, limit, after, order, context):
        threads = [each.thread for each in self.conversations.values() if each.owner == self.owner(context)]
        return self.page(threads, limit, after, order)


@breaks("test_items_of_a_saved_thread_object_are_not_stored")
class KeepsItemsOfThread(MemoryStore):
    """Takes the items that a new thread brings along, which are added one by one as well."""

    async def save_thread(self, thread, context):
        await super().save_thread(thread, context)
        for item in thread.items.data if hasattr(thread, "items") else ():
            await self.save_item(thread.id, item, context)


@breaks("test_items_of_a_saved_thread_object_are_not_stored")
class KeepsTheWholeObject(MemoryStore):
    """Gives back a `Thread` with items where the metadata is asked for."""

    async def save_thread(self, thread, context):
        await super().save_thread(thread, context)
        self.conversations[thread.id].thread = thread.model_copy(deep=True)


@breaks("test_a_stored_thread_is_independent_of_the_object")
class KeepsTheVeryThread(MemoryStore):
    """Keeps the object that it was given."""

    async def save_thread(self, thread, context):
        await super().save_thread(thread, context)
        self.conversations[thread.id].thread = thread


@breaks("test_a_stored_thread_is_independent_of_the_object")
class CopiesThreadsShallowly(MemoryStore):
    """`model_copy()`: the metadata is still the same object."""

    async def load_thread(self, thread_id, context):
        return self.own(thread_id, context).thread.model_copy()


@breaks(
    "test_a_stored_thread_is_independent_of_the_object", "test_a_stored_item_is_independent_of_the_object"
)
class ListsTheVeryObjects(MemoryStore):
    """Copies what it loads one by one, but not what stands in pages."""

    def page(self, entries, limit, after, order):
        page = super().page(entries, limit, after, order)
        kept = {each.id: each for each in entries}
        page.data = [kept[each.id] for each in page.data]
        return page


@breaks(
    "test_dates_are_naive_like_those_of_the_sdk",
    "test_a_date_with_an_offset_is_the_same_moment",
)
class GivesAwareDates(MemoryStore):
    """Does what is right everywhere but in the SDK: gives dates in UTC with their offset."""

    async def load_thread(self, thread_id, context):
        thread = await super().load_thread(thread_id, context)
        return thread.model_copy(update={"created_at": thread.created_at.astimezone(UTC)})


@breaks("test_a_date_with_an_offset_is_the_same_moment")
class DropsOffsets(Writes):
    """`replace(tzinfo=None)` makes a date naive, and another moment."""

    def written(self, value):
        if not hasattr(value, "created_at"):
            return value
        return value.model_copy(update={"created_at": value.created_at.replace(tzinfo=None)})


class KeepsItemsElsewhere(MemoryStore):
    """Not broken by itself: subclasses forget that items are in a table of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.left: dict[str, Conversation] = {}

    async def delete_thread(self, thread_id, context):
        self.left |= {key: each for key, each in self.conversations.items() if key == thread_id}
        await super().delete_thread(thread_id, context)


@breaks("test_deleting_a_thread_deletes_what_is_in_it")
class DeletesThreadButNotItems(KeepsItemsElsewhere):
    """Has no foreign key: the items of a deleted thread can still be read."""

    def items(self, thread_id, context):
        if thread_id not in self.conversations and thread_id in self.left:
            return self.left[thread_id].items
        return super().items(thread_id, context)


@breaks(
    "test_a_deleted_thread_accepts_no_items",
    "test_feedback_is_listed_oldest_first_and_deleted_with_its_thread",
)
class BringsItemsBack(KeepsItemsElsewhere):
    """Leaves items and opinions behind that a thread with the same id finds again."""

    async def save_thread(self, thread, context):
        await super().save_thread(thread, context)
        if thread.id in self.left:
            self.conversations[thread.id].items = self.left[thread.id].items
            self.conversations[thread.id].feedback = self.left.pop(thread.id).feedback


@breaks(
    "test_a_deleted_thread_accepts_no_items",
    "test_unknown_ids_are_not_found",
    "test_malformed_ids_are_not_found",
)
class AddsToAnyThread(MemoryStore):
    """Does not ask whether there is a thread to add to."""

    async def save_item(self, thread_id, item, context):
        if thread_id in self.conversations:
            await super().save_item(thread_id, item, context)


@breaks("test_deleting_a_thread_again_changes_nothing", "test_malformed_ids_are_not_found")
class WantsThreadsToDelete(MemoryStore):
    """Raises when there is nothing to delete."""

    async def delete_thread(self, thread_id, context):
        await self.load_thread(thread_id, context)
        await super().delete_thread(thread_id, context)


@breaks("test_deleting_a_thread_deletes_what_is_in_it")
class DeletesFromTheListOnly(MemoryStore):
    """Marks threads as deleted and forgets the mark when one is loaded by its id."""

    async def delete_thread(self, thread_id, context):
        if thread_id in self.conversations and self.conversations[thread_id].owner == self.owner(context):
            self.conversations[thread_id].items.clear()
            self.conversations[thread_id].thread.metadata["deleted"] = True

    async def load_threads(self, limit, after, order, context):
        page = await super().load_threads(limit, after, order, context)
        page.data = [each for each in page.data if not each.metadata.get("deleted")]
        return page


@breaks("test_deleting_a_thread_again_changes_nothing", "test_deleting_does_not_affect_other_owners")
class DeletesEveryThread(MemoryStore):
    """`DELETE FROM threads` without the `WHERE`."""

    async def delete_thread(self, thread_id, context):
        self.conversations.clear()


@breaks("test_attachments_of_every_kind_come_back_as_they_were_saved")
class KnowsOnlyFiles(MemoryStore):
    """Reads every attachment as a file, so that images lose their preview."""

    async def load_attachment(self, attachment_id, context):
        attachment = await super().load_attachment(attachment_id, context)
        fields = {name: getattr(attachment, name) for name in FileAttachment.model_fields if name != "type"}
        return FileAttachment(**fields)


@breaks("test_attachments_of_every_kind_come_back_as_they_were_saved")
class HidesPrivateMetadata(MemoryStore):
    """Keeps what is meant for clients, with the SDK's own dump for them."""

    async def save_attachment(self, attachment, context):
        public = attachment.model_dump(context={"exclude_metadata": True})
        await super().save_attachment(type(attachment).model_validate(public), context)


@breaks("test_an_attachment_can_be_placed_in_a_thread")
class InsertsAttachmentsOnly(MemoryStore):
    """Keeps an attachment as it was created, and never learns of its thread."""

    async def save_attachment(self, attachment, context):
        if attachment.id not in self.attachments:
            await super().save_attachment(attachment, context)


@breaks("test_an_attachment_can_be_placed_in_a_thread")
class MergesAttachments(MemoryStore):
    """Changes only what is given, so that an upload that ended is offered for ever."""

    async def save_attachment(self, attachment, context):
        if attachment.id in self.attachments:
            given = {name: value for name, value in attachment if value is not None}
            attachment = (await self.load_attachment(attachment.id, context)).model_copy(update=given)
        await super().save_attachment(attachment, context)


@breaks("test_a_stored_attachment_is_independent_of_the_object")
class KeepsTheVeryAttachment(MemoryStore):
    """Keeps the object that it was given, and gives it out."""

    async def load_attachment(self, attachment_id, context):
        await super().load_attachment(attachment_id, context)
        return self.attachments[attachment_id][1]


@breaks("test_deleting_an_attachment_again_changes_nothing", "test_malformed_ids_are_not_found")
class WantsAttachmentsToDelete(MemoryStore):
    """Raises when there is nothing to delete."""

    async def delete_attachment(self, attachment_id, context):
        await self.load_attachment(attachment_id, context)
        await super().delete_attachment(attachment_id, context)


@breaks("test_deleting_an_attachment_again_changes_nothing")
class DeletesEveryAttachment(MemoryStore):
    """`DELETE FROM attachments` without the id."""

    async def delete_attachment(self, attachment_id, context):
        self.attachments.clear()


@breaks("test_deleting_an_attachment_again_changes_nothing")
class NeverDeletesAttachments(MemoryStore):
    """Leaves it to a sweeper that is yet to be written."""

    async def delete_attachment(self, attachment_id, context):
        """Keeps the attachment."""
