"""What goes wrong when several write at once, with single fields, with tails and with feedback."""

from dataclasses import replace

from anyio.lowlevel import checkpoint
from broken_stores import breaks
from chatkit.store import NotFoundError
from chatkit.types import ActiveStatus, LockedStatus, Page

from backchannel.testing.memory_store import MemoryStore


@breaks(
    "test_concurrent_writers_lose_nothing",
    "test_saving_a_thread_does_not_undo_concurrent_items",
)
class RewritesTheThread(MemoryStore):
    """Keeps a thread's items in one document that it reads, changes and writes."""

    async def save_item(self, thread_id, item, context):
        conversation = self.own(thread_id, context)
        items = dict(conversation.items)
        await checkpoint()
        conversation.items = items
        await super().save_item(thread_id, item, context)


@breaks("test_saving_a_thread_does_not_undo_concurrent_items")
class RewritesTheThreadWhenItIsSaved(MemoryStore):
    """The same, but only where the thread itself is saved."""

    async def save_thread(self, thread, context):
        items = dict(self.items(thread.id, context))
        await checkpoint()
        await super().save_thread(thread, context)
        self.own(thread.id, context).items = items


@breaks("test_items_added_concurrently_have_one_order")
class NumbersTwice(MemoryStore):
    """Reads the last number in one step and uses it in the next: two items share it, and their order is left to
    the database.
    """

    def __init__(self) -> None:
        super().__init__()
        self.numbers = {}

    async def save_item(self, thread_id, item, context):
        number = self.numbers.get((thread_id, item.id), len(self.own(thread_id, context).items))
        await checkpoint()
        self.numbers[thread_id, item.id] = number
        await super().save_item(thread_id, item, context)

    async def load_thread_items(self, thread_id, after, limit, order, context):
        items = list(self.items(thread_id, context).values())
        items.sort(key=lambda each: self.numbers[thread_id, each.id], reverse=order == "desc")
        return self.page(items, limit, after, "asc")


@breaks("test_items_added_concurrently_have_one_order")
class ChangesItsMind(MemoryStore):
    """Gives items of the same moment in the order in which it finds them."""

    async def load_thread_items(self, thread_id, after, limit, order, context):
        items = list(self.items(thread_id, context).values())
        return self.page(items[::-1] if limit == 7 else items, limit, after, order)


@breaks("test_an_item_added_concurrently_is_one_item")
class LooksBeforeItAdds(MemoryStore):
    """Looks whether the item is there, and by the time it adds it the answer is another."""

    def __init__(self) -> None:
        super().__init__()
        self.twice = {}

    async def save_item(self, thread_id, item, context):
        there = item.id in self.own(thread_id, context).items
        await checkpoint()
        if not there and item.id in self.own(thread_id, context).items:
            self.twice[thread_id] = item
        await super().save_item(thread_id, item, context)

    async def load_thread_items(self, thread_id, after, limit, order, context):
        page = await super().load_thread_items(thread_id, after, limit, order, context)
        return Page(data=[*page.data, self.twice[thread_id]]) if thread_id in self.twice else page


@breaks("test_a_thread_saved_concurrently_is_one_thread")
class LooksBeforeItSaves(MemoryStore):
    """The same for threads: the second `INSERT` fails."""

    async def save_thread(self, thread, context):
        there = thread.id in self.conversations
        await checkpoint()
        if not there and thread.id in self.conversations:
            raise RuntimeError("UNIQUE constraint failed: threads.id")
        await super().save_thread(thread, context)


@breaks("test_attachments_saved_concurrently_are_all_stored")
class RewritesAttachments(MemoryStore):
    """Keeps all attachments in one file that it reads, changes and writes."""

    async def save_attachment(self, attachment, context):
        attachments = dict(self.attachments)
        await checkpoint()
        self.attachments = attachments
        await super().save_attachment(attachment, context)


@breaks("test_fields_changed_concurrently_are_all_changed")
class LoadsToChange(MemoryStore):
    """Changes a field by loading the thread and saving it, which is what the method is there to avoid."""

    async def update_thread(self, thread_id, changes, context, **options):
        thread = await self.load_thread(thread_id, context)
        await checkpoint()
        await self.save_thread(thread, context)
        return await super().update_thread(thread_id, changes, context, **options)


# Single fields


@breaks("test_changing_one_field_keeps_the_others", "test_fields_changed_concurrently_are_all_changed")
class SetsTheOthersToDefaults(MemoryStore):
    """Writes a whole thread of which it was given a part."""

    async def update_thread(self, thread_id, changes, context, **options):
        conversation = self.own(thread_id, context)
        fresh = {"title": None, "status": ActiveStatus(), "allowed_image_domains": None, "metadata": {}}
        conversation.thread = conversation.thread.model_copy(update=fresh)
        return await super().update_thread(thread_id, changes, context, **options)


@breaks("test_changing_one_field_keeps_the_others")
class SkipsNone(MemoryStore):
    """Takes `None` for "not given", so that nothing can be taken away again."""

    async def update_thread(self, thread_id, changes, context, **options):
        given = {name: value for name, value in changes.items() if value is not None}
        return await super().update_thread(thread_id, given, context, **options)


@breaks("test_changing_one_field_keeps_the_others", "test_a_status_can_be_changed_and_changed_back")
class LosesReasons(MemoryStore):
    """Has a column for the name of the status, and none for its reason."""

    async def update_thread(self, thread_id, changes, context, **options):
        if isinstance(changes.get("status"), LockedStatus):
            changes = {**changes, "status": LockedStatus()}
        return await super().update_thread(thread_id, changes, context, **options)


@breaks("test_a_status_can_be_changed_and_changed_back")
class NeverUnlocks(MemoryStore):
    """Lets no thread out of a status that ended it."""

    async def update_thread(self, thread_id, changes, context, **options):
        if self.own(thread_id, context).thread.status.type == "locked" and "status" in changes:
            changes = {name: value for name, value in changes.items() if name != "status"}
        return await super().update_thread(thread_id, changes, context, **options)


@breaks("test_a_generated_title_does_not_overwrite_a_rename")
class UndoesRenames(MemoryStore):
    """Sets the title whatever it was."""

    async def update_thread(self, thread_id, changes, context, *, unless_renamed_from=...):
        return await super().update_thread(thread_id, changes, context)


@breaks("test_a_generated_title_does_not_overwrite_a_rename")
class TakesNoneForNotGiven(MemoryStore):
    """Thinks that no title to compare with means that there is nothing to compare."""

    async def update_thread(self, thread_id, changes, context, *, unless_renamed_from=None):
        options = {} if unless_renamed_from is None else {"unless_renamed_from": unless_renamed_from}
        return await super().update_thread(thread_id, changes, context, **options)


@breaks("test_changing_a_thread_of_another_owner_is_not_found")
class ChangesNothingInSilence(MemoryStore):
    """Does not look at how many rows its `UPDATE` changed."""

    async def update_thread(self, thread_id, changes, context, **options):
        if thread_id in self.conversations and self.conversations[thread_id].owner == self.owner(context):
            return await super().update_thread(thread_id, changes, context, **options)
        return None


@breaks("test_changing_one_field_keeps_the_others", "test_a_generated_title_does_not_overwrite_a_rename")
class GivesTheThreadAsItWas(MemoryStore):
    """Changes the thread and gives the one that it had loaded."""

    async def update_thread(self, thread_id, changes, context, **options):
        before = await self.load_thread(thread_id, context)
        await super().update_thread(thread_id, changes, context, **options)
        return before


# Tails and feedback


@breaks("test_deleting_a_tail_leaves_what_came_before")
class DeletesTheItemToo(MemoryStore):
    """Writes `>=` for `>`."""

    async def delete_items_after(self, thread_id, item_id, context):
        gone = await super().delete_items_after(thread_id, item_id, context)
        await self.delete_thread_item(thread_id, item_id, context)
        return [*gone, item_id]


@breaks("test_deleting_a_tail_leaves_what_came_before")
class GivesTheOldestFirst(MemoryStore):
    """Gives the ids in the order in which it found them."""

    async def delete_items_after(self, thread_id, item_id, context):
        return (await super().delete_items_after(thread_id, item_id, context))[::-1]


@breaks("test_deleting_a_tail_leaves_what_came_before")
class DeletesTailsEverywhere(MemoryStore):
    """Numbers the items of all threads together, and deletes what has a greater number."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = {}

    async def save_item(self, thread_id, item, context):
        self.numbers.setdefault((thread_id, item.id), len(self.numbers))
        await super().save_item(thread_id, item, context)

    async def delete_items_after(self, thread_id, item_id, context):
        gone = await super().delete_items_after(thread_id, item_id, context)
        for (in_thread, later), number in self.numbers.items():
            if number > self.numbers[thread_id, item_id]:
                self.conversations[in_thread].items.pop(later, None)
        return gone


@breaks("test_deleting_a_tail_of_another_owner_is_not_found")
class DeletesNoTailInSilence(MemoryStore):
    """Does not look whether the item is there."""

    async def delete_items_after(self, thread_id, item_id, context):
        try:
            return await super().delete_items_after(thread_id, item_id, context)
        except NotFoundError:
            return []


@breaks("test_deleting_a_tail_of_another_owner_is_not_found")
class DeletesForeignTails(MemoryStore):
    """Does not ask whose thread it is."""

    async def delete_items_after(self, thread_id, item_id, context):
        if thread_id not in self.conversations:
            raise NotFoundError(thread_id)
        items = self.conversations[thread_id].items
        if item_id not in items:
            raise NotFoundError(item_id)
        gone = list(items)[list(items).index(item_id) + 1 :][::-1]
        for each in gone:
            del items[each]
        return gone


@breaks("test_feedback_can_be_given_and_changed")
class KeepsTheFirstOpinion(MemoryStore):
    """Lets nobody change their mind."""

    async def save_feedback(self, thread_id, item_ids, kind, context):
        new = [each for each in item_ids if each not in self.own(thread_id, context).feedback]
        await super().save_feedback(thread_id, new, kind, context)


@breaks("test_feedback_can_be_given_and_changed")
class KeepsEveryOpinion(MemoryStore):
    """Adds a row each time."""

    def __init__(self) -> None:
        super().__init__()
        self.log = []

    async def save_feedback(self, thread_id, item_ids, kind, context):
        await super().save_feedback(thread_id, item_ids, kind, context)
        self.log += [self.own(thread_id, context).feedback[each] for each in item_ids]

    async def load_feedback(self, thread_id, context):
        return list(self.log)


@breaks("test_feedback_can_be_given_and_changed")
class GivesFeedbackNaiveDates(MemoryStore):
    """Gives dates as the SDK makes them where the contract is Backchannel's own."""

    async def load_feedback(self, thread_id, context):
        kept = await super().load_feedback(thread_id, context)
        return [replace(each, created_at=each.created_at.replace(tzinfo=None)) for each in kept]


@breaks("test_feedback_is_listed_oldest_first_and_deleted_with_its_thread")
class SortsFeedbackByItem(MemoryStore):
    """Gives opinions in the order of the items."""

    async def load_feedback(self, thread_id, context):
        order = list(self.items(thread_id, context))
        kept = await super().load_feedback(thread_id, context)
        return sorted(kept, key=lambda each: order.index(each.item_id))


@breaks("test_feedback_of_other_owners_is_not_stored_and_does_not_interfere")
class KeepsAnybodysFeedback(MemoryStore):
    """Has the item as the key of an opinion, and does not ask whose thread it is in."""

    async def save_feedback(self, thread_id, item_ids, kind, context):
        if thread_id not in self.conversations:
            raise NotFoundError(thread_id)
        owner = self.conversations[thread_id].owner
        self.conversations[thread_id].owner = self.owner(context)
        await super().save_feedback(thread_id, item_ids, kind, context)
        self.conversations[thread_id].owner = owner


@breaks("test_feedback_of_other_owners_is_not_stored_and_does_not_interfere")
class FailsOnUnknownThreads(MemoryStore):
    """Leaves it to the foreign key to find out that there is no such thread."""

    async def save_feedback(self, thread_id, item_ids, kind, context):
        if thread_id not in self.conversations:
            raise RuntimeError("FOREIGN KEY constraint failed")
        await super().save_feedback(thread_id, item_ids, kind, context)
