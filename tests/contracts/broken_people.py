"""What goes wrong with whose things are whose, and with names and texts that are nearly the same."""

import unicodedata

from broken_stores import Writes, breaks
from chatkit.store import NotFoundError, default_generate_id

from backchannel.context import identity_of
from backchannel.testing.memory_store import MemoryStore

SEES = "test_other_owners_see_nothing"
CHANGES = "test_other_owners_change_nothing"
DELETES = "test_other_owners_delete_nothing"
LISTS = "test_each_owner_has_a_separate_list"


@breaks(SEES, CHANGES, DELETES, LISTS)
class IgnoresTenants(MemoryStore):
    """`WHERE user_id = …`: two tenants with a user of the same name share everything."""

    def owner(self, context):
        return "", identity_of(context).user


@breaks(SEES, CHANGES, DELETES, LISTS)
class IgnoresCase(MemoryStore):
    """Compares names with a collation that takes "ADA" for "ada", as MySQL's usual one does."""

    def owner(self, context):
        tenant, user = super().owner(context)
        return tenant, user.casefold()


@breaks(SEES, CHANGES, DELETES, LISTS)
class IgnoresCaseOfTenants(MemoryStore):
    """The same for tenants."""

    def owner(self, context):
        tenant, user = super().owner(context)
        return tenant.casefold(), user


@breaks(SEES, CHANGES, DELETES, LISTS)
class IgnoresTrailingSpace(MemoryStore):
    """Keeps names in `CHAR` columns, which are padded."""

    def owner(self, context):
        tenant, user = super().owner(context)
        return tenant, user.rstrip(" ")


@breaks(SEES, CHANGES, DELETES, LISTS)
class IgnoresTrailingSpaceOfTenants(MemoryStore):
    """The same for tenants."""

    def owner(self, context):
        tenant, user = super().owner(context)
        return tenant.rstrip(" "), user


@breaks(SEES, CHANGES, DELETES, LISTS)
class IgnoresAccents(MemoryStore):
    """Compares names with an accent-insensitive collation."""

    def owner(self, context):
        tenant, user = super().owner(context)
        return tenant, "".join(c for c in unicodedata.normalize("NFKD", user) if not unicodedata.combining(c))


@breaks(SEES, CHANGES, DELETES, LISTS)
class IgnoresInvisibleCharacters(MemoryStore):
    """Compares names as Unicode's collation algorithm does, in which some characters weigh nothing."""

    def owner(self, context):
        tenant, user = super().owner(context)
        return tenant, user.replace("\u200b", "")


@breaks(SEES, CHANGES, DELETES, LISTS)
class JoinsNames(MemoryStore):
    """Makes one key of tenant and user without anything between them."""

    def owner(self, context):
        return "".join(super().owner(context)), ""


@breaks("test_owners_with_equal_concatenated_names_are_distinct")
class JoinsNamesWithAColon(MemoryStore):
    """Makes one key of tenant and user with something between them that may stand in either."""

    def owner(self, context):
        return ":".join(super().owner(context)), ""


@breaks("test_an_owner_does_not_depend_on_the_token")
class OwnsByIdentity(MemoryStore):
    """Takes the whole identity for the owner: whoever gets another scope loses their threads."""

    def owner(self, context):
        return identity_of(context)


@breaks(CHANGES)
class OverwritesForeignThreads(MemoryStore):
    """`INSERT … ON CONFLICT (id) DO UPDATE` without asking whose row it is."""

    async def save_thread(self, thread, context):
        conversation = self.conversations.get(thread.id)
        if conversation is not None:
            conversation.owner = self.owner(context)
        await super().save_thread(thread, context)


@breaks(CHANGES)
class OverwritesForeignAttachments(MemoryStore):
    """The same for attachments."""

    async def save_attachment(self, attachment, context):
        self.attachments.pop(attachment.id, None)
        await super().save_attachment(attachment, context)


@breaks(CHANGES)
class WritesInForeignThreads(MemoryStore):
    """Asks whether there is a thread, and not whose."""

    async def save_item(self, thread_id, item, context):
        if thread_id not in self.conversations:
            raise NotFoundError(thread_id)
        self.conversations[thread_id].items[item.id] = item.model_copy(deep=True)


@breaks(SEES)
class ShowsForeignItems(MemoryStore):
    """Asks for the owner of threads and forgets that items have one too."""

    def items(self, thread_id, context):
        return self.conversations[thread_id].items if thread_id in self.conversations else {}


@breaks(SEES, "test_owners_with_equal_concatenated_names_are_distinct")
class ShowsForeignAttachments(MemoryStore):
    """Thinks that nobody guesses the id of an attachment."""

    async def load_attachment(self, attachment_id, context):
        if attachment_id not in self.attachments:
            raise NotFoundError(attachment_id)
        return self.attachments[attachment_id][1]


@breaks(DELETES)
class DeletesForeignThreads(MemoryStore):
    """`DELETE FROM threads WHERE id = …`."""

    async def delete_thread(self, thread_id, context):
        self.conversations.pop(thread_id, None)


@breaks(DELETES)
class DeletesForeignItems(MemoryStore):
    """`DELETE FROM items WHERE thread_id = … AND id = …`."""

    async def delete_thread_item(self, thread_id, item_id, context):
        if thread_id in self.conversations:
            self.conversations[thread_id].items.pop(item_id, None)


@breaks(DELETES)
class DeletesForeignAttachments(MemoryStore):
    """`DELETE FROM attachments WHERE id = …`."""

    async def delete_attachment(self, attachment_id, context):
        self.attachments.pop(attachment_id, None)


@breaks(LISTS, SEES)
class ListsEverybodysThreads(MemoryStore):
    """Lists what there is."""

    async def load_threads(self, limit, after, order, context):
        return self.page([each.thread for each in self.conversations.values()], limit, after, order)


@breaks("test_deleting_does_not_affect_other_owners")
class DeletesByTheItemsIds(MemoryStore):
    """Cleans up after a thread by the ids of its items, which are not unique."""

    async def delete_thread_item(self, thread_id, item_id, context):
        """Leaves the item for the cleaning up."""

    async def delete_thread(self, thread_id, context):
        for item_id in list(self.items(thread_id, context)):
            for conversation in self.conversations.values():
                conversation.items.pop(item_id, None)
        await super().delete_thread(thread_id, context)


# Values


@breaks(
    "test_text_with_a_nul_is_stored_or_cleaned",
    "test_any_title_is_stored_or_cleaned",
    "test_any_metadata_is_stored_or_cleaned",
    "test_any_file_name_is_stored_or_cleaned",
    "test_any_title_can_be_set_later",
)
class RefusesNul(Writes):
    """Hands text to PostgreSQL as it is."""

    def written(self, value):
        if "\\x00" in repr(value):
            raise ValueError("unsupported Unicode escape sequence: \\u0000 cannot be converted to text")
        return value


@breaks(
    "test_text_with_a_lone_surrogate_is_stored_or_cleaned",
    "test_any_title_is_stored_or_cleaned",
    "test_any_metadata_is_stored_or_cleaned",
    "test_any_file_name_is_stored_or_cleaned",
    "test_any_title_can_be_set_later",
)
class RefusesHalfCharacters(Writes):
    """Writes JSON with pydantic, which raises where a character cannot be encoded."""

    def written(self, value):
        value.model_dump_json()
        return value


@breaks(
    "test_text_with_a_nul_is_stored_or_cleaned",
    "test_text_with_a_lone_surrogate_is_stored_or_cleaned",
    "test_any_title_is_stored_or_cleaned",
    "test_any_metadata_is_stored_or_cleaned",
    "test_any_file_name_is_stored_or_cleaned",
    "test_any_title_can_be_set_later",
)
class CutsTextWhereItBreaks(Writes):
    """Ends a text before what it cannot keep."""

    def written(self, value):
        return type(value).model_validate(self.cut(value.model_dump()))

    def cut(self, value):
        match value:
            case dict():
                return {self.cut(key): self.cut(each) for key, each in value.items()}
            case list():
                return [self.cut(each) for each in value]
            case str():
                return value.partition("\x00")[0].partition("\ud800")[0]
        return value


@breaks("test_characters_of_four_bytes_come_back")
class KnowsThreeBytes(Writes):
    """Keeps text in `utf8mb3`, where what is longer becomes a question mark."""

    def written(self, value):
        if not isinstance(getattr(value, "title", None), str):
            return value
        return value.model_copy(
            update={"title": "".join(c if c < "\U00010000" else "?" for c in value.title)}
        )


@breaks("test_characters_of_four_bytes_come_back")
class NormalizesText(Writes):
    """Writes text in another normal form than it was given."""

    def written(self, value):
        if not isinstance(getattr(value, "name", None), str):
            return value
        return value.model_copy(update={"name": unicodedata.normalize("NFC", value.name)})


@breaks("test_malformed_ids_are_not_found")
class TakesIdsForText(MemoryStore):
    """Hands ids that no database can encode to the database."""

    def own(self, thread_id, context):
        thread_id.encode()
        return super().own(thread_id, context)


@breaks("test_ids_are_compared_exactly", "test_malformed_ids_are_not_found")
class TakesIdsForPatterns(MemoryStore):
    """`WHERE id LIKE …`."""

    def own(self, thread_id, context):
        if thread_id.endswith("%"):
            found = (each for each in self.conversations if each.startswith(thread_id[:-1]))
            thread_id = next(found, thread_id)
        return super().own(thread_id, context)


@breaks("test_ids_are_compared_exactly")
class FoldsThreadIds(MemoryStore):
    """Compares ids of threads with a collation that knows no case."""

    def own(self, thread_id, context):
        return super().own(thread_id.lower(), context)


@breaks("test_ids_are_compared_exactly")
class DeletesWhateverTheCase(MemoryStore):
    """Compares ids exactly where it loads, and not where it deletes."""

    async def delete_thread_item(self, thread_id, item_id, context):
        for each in list(self.items(thread_id, context)):
            if each.lower() == item_id.lower():
                await super().delete_thread_item(thread_id, each, context)


@breaks("test_ids_are_compared_exactly")
class CutsItemIds(MemoryStore):
    """Keeps ids of items in a column that holds 64 characters."""

    async def save_item(self, thread_id, item, context):
        await super().save_item(thread_id, item.model_copy(update={"id": item.id[:64]}), context)


@breaks("test_ids_do_not_collide")
class MakesShortIds(MemoryStore):
    """Leaves ids to the SDK: eight hexadecimal digits."""

    def generate_thread_id(self, context):
        return default_generate_id("thread")

    def generate_item_id(self, item_type, thread, context):
        return default_generate_id(item_type)


@breaks("test_ids_do_not_collide")
class MakesIdsLikePaths(MemoryStore):
    """Puts a slash into ids, which then name another endpoint."""

    def generate_item_id(self, item_type, thread, context):
        return f"{thread.id}/{super().generate_item_id(item_type, thread, context)}"
