"""Stores what a server changes in the thread while it answers, such as its title."""

from collections.abc import Awaitable, Callable
from typing import Any

from chatkit.store import Store
from chatkit.types import ThreadMetadata, ThreadUpdatedEvent

from backchannel.chat.protocol.wire import thread_response
from backchannel.stores.base import PatchesThreads

type Commit = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]

_CHANGEABLE = ("title", "status", "allowed_image_domains", "metadata")


class ThreadChanges:
    """The changes of the thread of one turn, by comparison with what was stored last.

    Args:
        context: The caller's context, as the store takes it.
        commit: Performs the write.
    """

    def __init__(self, store: Store[Any], thread: ThreadMetadata, context: Any, commit: Commit) -> None:
        self._store = store
        self._thread = thread
        self._context = context
        self._commit = commit
        self._known = thread.model_copy(deep=True)

    async def save(self) -> ThreadUpdatedEvent | None:
        """Store what has changed since the last call; gives the event for it, if anything has."""
        thread, store, context = self._thread, self._store, self._context
        if thread == self._known:
            return None
        # The server may change the thread while that is stored; and a cancelled write must be repeated.
        changed = thread.model_copy(deep=True)
        if isinstance(store, PatchesThreads):
            changes = {
                name: getattr(thread, name)
                for name in _CHANGEABLE
                if getattr(thread, name) != getattr(self._known, name)
            }
            # A title that a person gives while the answer is in progress stays.
            known = self._known.title
            current = await self._commit(
                lambda: store.update_thread(thread.id, changes, context, unless_renamed_from=known)
            )
            if thread.title == changed.title:
                thread.title = current.title
            changed.title = current.title
        else:
            await self._commit(lambda: store.save_thread(thread, context))
            current = changed
        self._known = changed
        return ThreadUpdatedEvent(thread=thread_response(current))
