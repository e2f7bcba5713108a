"""Threads and what is in them as plain JSON endpoints, for clients that need more than the protocol offers."""

from typing import Annotated, Any, Literal, Self

from chatkit.types import Page, Thread, ThreadItem, ThreadsUpdateReq, ThreadUpdateParams
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel

from backchannel.chat.protocol import queries
from backchannel.chat.protocol.commands import load_thread
from backchannel.chat.protocol.requests import check
from backchannel.chat.protocol.wire import encode, thread_response
from backchannel.http.current_context import CurrentContext
from backchannel.http.services import Services
from backchannel.stores.base import Feedback, SearchResult
from backchannel.stores.times import utc_text
from backchannel.stores.words import excerpt

Limit = Annotated[int, Query(ge=1, le=queries.MAX_PAGE)]
Order = Literal["asc", "desc"]

MAX_HITS = 50
"""The most threads that one search gives."""


class Rename(BaseModel):
    """What can be changed of a thread."""

    title: str


class TextPart(BaseModel):
    """A piece of text; `match` if it is what was looked for. To be shown as text, never as HTML."""

    text: str
    match: bool


class Excerpt(BaseModel):
    """A piece of a message around the first place that matches."""

    item_id: str
    parts: list[TextPart]


class Hit(BaseModel):
    """A thread that was found.

    `title` is there if the title matches, `excerpts` are of the messages that match best.
    """

    thread: Thread
    title: list[TextPart]
    excerpts: list[Excerpt]


class SearchPage(BaseModel):
    """The threads that match, the best first. There are no further pages: a longer query finds less."""

    data: list[Hit]
    has_more: bool
    after: None = None

    @classmethod
    def of(cls, result: SearchResult) -> Self:
        """The response that tells of `result`."""
        hits = [
            Hit(
                thread=thread_response(hit.thread),
                title=_parts(hit.thread.title or "", result.words),
                excerpts=[
                    Excerpt(item_id=item_id, parts=parts)
                    for item_id, text in hit.texts
                    if (parts := _parts(text, result.words))
                ],
            )
            for hit in result.hits
        ]
        return cls(data=hits, has_more=result.has_more)


class FeedbackResponse(BaseModel):
    """What the caller thought of one answer, and when."""

    item_id: str
    kind: Literal["positive", "negative"]
    created_at: str
    updated_at: str

    @classmethod
    def of(cls, given: Feedback) -> Self:
        """The response that tells of `given`."""
        return cls(
            item_id=given.item_id,
            kind=given.kind,
            created_at=utc_text(given.created_at),
            updated_at=utc_text(given.updated_at),
        )


class FeedbackPage(BaseModel):
    """What the caller thought of a thread's answers, the oldest first."""

    data: list[FeedbackResponse]
    has_more: bool = False
    after: str | None = None


def _parts(text: str, words: Any) -> list[TextPart]:
    return [TextPart(text=part.text, match=part.match) for part in excerpt(text, words)]


def search_router(services: Services) -> APIRouter:
    """Finding threads. To be included before `threads_router`, which would take `search` for a thread."""
    router = APIRouter(prefix="/chatkit/threads", tags=["threads"])

    @router.get("/search", response_model=SearchPage)
    async def search_threads(  # pyright: ignore[reportUnusedFunction]
        q: str, context: CurrentContext, limit: Annotated[int, Query(ge=1, le=MAX_HITS)] = 20
    ) -> Response:
        """The caller's threads with a message or title in which each word of `q` begins a word, the best first.

        `q` is data: quotes, operators and wildcards mean nothing; case and accents do not count.
        """
        return _json(SearchPage.of(await queries.search(services.server, q, limit, context)))

    return router


def threads_router(services: Services) -> APIRouter:
    """Threads and their items, in keyset pages `{"data", "has_more", "after"}`."""
    router = APIRouter(prefix="/chatkit/threads", tags=["threads"])

    @router.get("", response_model=Page[Thread])
    async def list_threads(  # pyright: ignore[reportUnusedFunction]
        context: CurrentContext, limit: Limit = 20, after: str | None = None, order: Order = "desc"
    ) -> Response:
        """The caller's threads, newest first."""
        return _json(await queries.list_threads(services.server, limit, after, order, context))

    @router.get("/{thread_id}", response_model=Thread)
    async def get_thread(thread_id: str, context: CurrentContext) -> Response:  # pyright: ignore[reportUnusedFunction]
        """A thread with its first items."""
        return _json(
            await queries.get_thread(services.server, thread_id, context, services.runs.partial_items)
        )

    @router.patch("/{thread_id}", response_model=Thread)
    async def rename_thread(  # pyright: ignore[reportUnusedFunction]
        thread_id: str, change: Rename, context: CurrentContext
    ) -> Response:
        """Rename a thread."""
        request = ThreadsUpdateReq(params=ThreadUpdateParams(thread_id=thread_id, title=change.title))
        check(request, max_message_chars=0)
        return _json(await queries.rename(services.server, thread_id, request.params.title, context))

    @router.delete("/{thread_id}", status_code=204)
    async def delete_thread(thread_id: str, context: CurrentContext) -> None:  # pyright: ignore[reportUnusedFunction]
        """Delete a thread with everything in it. An answer in progress is stopped first."""
        await services.runs.stop_in_thread(thread_id, context.identity)
        await queries.delete_thread(services.server, thread_id, context)

    @router.get("/{thread_id}/items", response_model=Page[ThreadItem])
    async def list_items(  # pyright: ignore[reportUnusedFunction]
        thread_id: str,
        context: CurrentContext,
        limit: Limit = 20,
        after: str | None = None,
        order: Order = "desc",
    ) -> Response:
        """A thread's items, newest first."""
        await load_thread(services.server, thread_id, context)
        place = (limit, after, order)
        begun = services.runs.partial_items
        return _json(await queries.list_items(services.server, thread_id, *place, context, begun))

    return router


def feedback_router(services: Services) -> APIRouter:
    """What people thought of answers."""
    router = APIRouter(prefix="/chatkit/threads", tags=["threads"])

    @router.get("/{thread_id}/feedback")
    async def list_feedback(thread_id: str, context: CurrentContext) -> FeedbackPage:  # pyright: ignore[reportUnusedFunction]
        """What the caller thought of the thread's answers."""
        given = await queries.feedback(services.server, thread_id, context)
        return FeedbackPage(data=[FeedbackResponse.of(each) for each in given])

    return router


def _json(model: Any) -> Response:
    return Response(encode(model), media_type="application/json")
