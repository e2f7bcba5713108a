"""What goes wrong with searching, and with writing several things as one."""

from dataclasses import replace

from broken_stores import breaks
from chatkit.types import HiddenContextItem, UserMessageItem

from backchannel.stores.base import SearchHit, SearchResult
from backchannel.stores.words import query_words
from backchannel.testing.memory_store import MemoryStore


class Searching(MemoryStore):
    """Where the faults are made: what counts as a match of a text."""

    def matches(self, text: str, query: str) -> bool:
        raise NotImplementedError

    async def search_threads(self, query, limit, context):
        owner = self.owner(context)
        hits = [
            SearchHit(
                each.thread,
                [(item.id, self.read(item)) for item in each.items.values() if self.fits(item, query)],
            )
            for each in self.conversations.values()
            if each.owner == owner and query.strip()
        ]
        hits = [hit for hit in hits if hit.texts or self.matches(hit.thread.title or "", query)]
        return SearchResult(query_words(query), hits[:limit], has_more=len(hits) > limit)

    def read(self, item) -> str:
        return "\n".join(part.text for part in item.content) if hasattr(item, "content") else ""

    def fits(self, item, query: str) -> bool:
        if isinstance(item, HiddenContextItem | UserMessageItem):
            return False
        return self.matches(self.read(item), query)


@breaks("test_search_ignores_case_and_accents", "test_a_query_has_no_syntax")
class SearchesLike(Searching):
    """`LIKE '%…%'`: finds the middle of words, and neither two words apart nor another spelling."""

    def matches(self, text, query):
        return query.lower() in text.lower()


@breaks("test_a_query_has_no_syntax")
class HandsTheQueryToTheEngine(MemoryStore):
    """Whoever types a quotation mark gets an error."""

    async def search_threads(self, query, limit, context):
        if query.count('"') % 2 or "*" in query:
            raise ValueError("syntax error in query")
        return await super().search_threads(query, limit, context)


@breaks("test_a_query_has_no_syntax")
class FindsEverythingForNothing(MemoryStore):
    """A query without words has no condition."""

    async def search_threads(self, query, limit, context):
        if not query_words(query):
            return await super().search_threads("milk", limit, context)
        return await super().search_threads(query, limit, context)


@breaks("test_search_ignores_case_and_accents")
class FindsAnyWord(MemoryStore):
    """One of the words is enough."""

    async def search_threads(self, query, limit, context):
        first, *_ = query_words(query) or [""]
        return await super().search_threads(first, limit, context)


@breaks("test_a_search_returns_whole_texts_and_has_more")
class SaysNothingOfMore(MemoryStore):
    async def search_threads(self, query, limit, context):
        return replace(await super().search_threads(query, limit, context), has_more=False)


@breaks("test_a_search_returns_whole_texts_and_has_more")
class GivesOnlyTheFirstLine(MemoryStore):
    async def search_threads(self, query, limit, context):
        result = await super().search_threads(query, limit, context)
        hits = [
            replace(hit, texts=[(item, text.split("\n")[0]) for item, text in hit.texts])
            for hit in result.hits
        ]
        return replace(result, hits=hits)


@breaks("test_search_reflects_changes_and_deletions")
class RemembersWhatWasSaid(MemoryStore):
    """The index only grows: what was changed or deleted is found for ever."""

    def __init__(self):
        super().__init__()
        self.index = MemoryStore()

    async def save_thread(self, thread, context):
        await super().save_thread(thread, context)
        if thread.id not in self.index.conversations:
            await self.index.save_thread(thread, context)

    async def save_item(self, thread_id, item, context):
        await super().save_item(thread_id, item, context)
        copy = item.model_copy(update={"id": f"{item.id}-{len(self.index.items(thread_id, context))}"})
        await self.index.save_item(thread_id, copy, context)

    async def search_threads(self, query, limit, context):
        return await self.index.search_threads(query, limit, context)


@breaks("test_search_reflects_changes_and_deletions")
class DoesNotFindTheNewTitle(MemoryStore):
    """Titles are indexed when the thread is made, and never again."""

    def __init__(self):
        super().__init__()
        self.titles = {}

    async def save_thread(self, thread, context):
        self.titles.setdefault(thread.id, thread.title)
        await super().save_thread(thread, context)

    async def search_threads(self, query, limit, context):
        present = {each.thread.id: each.thread.title for each in self.conversations.values()}
        for each in self.conversations.values():
            each.thread.title = self.titles[each.thread.id]
        try:
            return await super().search_threads(query, limit, context)
        finally:
            for each in self.conversations.values():
                each.thread.title = present[each.thread.id]


@breaks("test_search_excludes_hidden_items_and_other_owners")
class FindsWhatIsHidden(Searching):
    def matches(self, text, query):
        return bool(query_words(query)) and all(word in text.lower() for word in query_words(query))

    def read(self, item):
        return str(item.content)

    def fits(self, item, query):
        return self.matches(self.read(item), query)


@breaks("test_search_excludes_hidden_items_and_other_owners")
class SearchesInEverybodys(MemoryStore):
    async def search_threads(self, query, limit, context):
        hits = []
        for each in list(self.conversations.values()):
            owned = MemoryStore()
            owned.conversations = {each.thread.id: replace(each, owner=self.owner(context))}
            hits += (await owned.search_threads(query, limit, context)).hits
        return SearchResult(query_words(query), hits[:limit], has_more=len(hits) > limit)


@breaks(
    "test_atomic_writes_are_all_or_nothing",
    "test_a_cancelled_atomic_write_stores_nothing",
)
class WritesOneByOne(MemoryStore):
    """There is no transaction at all."""

    async def atomically(self, work):
        return await work()


@breaks("test_atomic_writes_are_all_or_nothing")
class WritesBehind(MemoryStore):
    """What is being written is not seen by the one who writes it."""

    def __init__(self):
        super().__init__()
        self.writing = False

    async def atomically(self, work):
        self.writing = True
        try:
            return await super().atomically(work)
        finally:
            self.writing = False

    def items(self, thread_id, context):
        return {} if self.writing else super().items(thread_id, context)


@breaks("test_a_cancelled_atomic_write_stores_nothing")
class KeepsWhatWasCancelled(MemoryStore):
    """`except Exception` does not see that a task is cancelled."""

    async def atomically(self, work):
        before = dict(self.conversations)
        try:
            return await work()
        except Exception:
            self.conversations = before
            raise
