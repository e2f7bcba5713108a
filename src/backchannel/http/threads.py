"""JSON endpoints of threads, items, feedback and search, beyond what the ChatKit protocol offers."""

from typing import Annotated, Any, Literal, Self

from chatkit.types import Page, Thread, ThreadItem
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from backchannel.chat.protocol import queries
from backchannel.chat.protocol.commands import load_thread
from backchannel.chat.protocol.requests import clean_title
from backchannel.chat.protocol.wire import encode, thread_response
from backchannel.context import RequestContext
from backchannel.http.attachment_links import links_for
from backchannel.http.current_context import ChatContext
from backchannel.http.input_limits import request_limits
from backchannel.http.json_body import JsonRoute
from backchannel.http.services import Services
from backchannel.http.streaming import KEY_HEADER, check_content_type, idempotency_key
from backchannel.stores.base import Feedback, SearchResult
from backchannel.stores.times import utc_text
from backchannel.stores.words import excerpt

Limit = Annotated[int, Query(ge=1, le=queries.MAX_PAGE)]
Order = Literal["asc", "desc"]

MAX_HITS = 50
"""The most threads in one search response."""


class ThreadPatch(BaseModel):
    """The changeable fields of a thread."""

    title: str


class NewThread(BaseModel):
    """A thread to create.

    Attributes:
        title: 1 to 200 characters; `None` to have one made from the first message.
        metadata: Stored with the thread for the server's agents (`thread.metadata`), and not sent to clients. At most
            16,000 characters as JSON.
    """

    model_config = ConfigDict(extra="forbid")

    title: str | None = Field(default=None, description="Without one, it is made from the first message.")
    metadata: dict[str, Any] = Field(
        default_factory=dict[str, Any],
        description="For the server's agents; not sent to clients. At most 16,000 characters as JSON.",
    )


class TextPart(BaseModel):
    """A part of a text; `match` is true for a matching word. Not HTML: show it as text."""

    text: str
    match: bool


class Excerpt(BaseModel):
    """A part of a message around its first match."""

    item_id: str
    parts: list[TextPart]


class Hit(BaseModel):
    """A matching thread.

    `title` is empty unless the title matches. `excerpts` are from the best matching messages.
    """

    thread: Thread
    title: list[TextPart]
    excerpts: list[Excerpt]


class SearchPage(BaseModel):
    """The matching threads, best match first. There is only one page; `has_more` means that there were more matches."""

    data: list[Hit]
    has_more: bool
    after: None = None

    @classmethod
    def of(cls, result: SearchResult) -> Self:
        """The response for `result`."""
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
    """The caller's feedback on one item."""

    item_id: str
    kind: Literal["positive", "negative"]
    created_at: str
    updated_at: str

    @classmethod
    def of(cls, feedback: Feedback) -> Self:
        """The response for `feedback`."""
        return cls(
            item_id=feedback.item_id,
            kind=feedback.kind,
            created_at=utc_text(feedback.created_at),
            updated_at=utc_text(feedback.updated_at),
        )


class FeedbackPage(BaseModel):
    """The caller's feedback on items of a thread, least recently changed first."""

    data: list[FeedbackResponse]
    has_more: bool = False
    after: str | None = None


def _parts(text: str, words: Any) -> list[TextPart]:
    return [TextPart(text=part.text, match=part.match) for part in excerpt(text, words)]


def search_router(services: Services) -> APIRouter:
    """The router of search. Include it before `threads_router`, which would match `search` as a thread id."""
    router = APIRouter(prefix="/chatkit/threads", tags=["threads"])

    @router.get("/search", response_model=SearchPage)
    async def search_threads(  # pyright: ignore[reportUnusedFunction]
        q: str, context: ChatContext, limit: Annotated[int, Query(ge=1, le=MAX_HITS)] = 20
    ) -> Response:
        """The caller's threads with a title or message that contains every word of `q`, best match first.

        A word also matches longer words that begin with it. Case and accents are ignored. There are no operators,
        quotes or wildcards.
        """
        return _json(
            services, context, SearchPage.of(await queries.search(services.server, q, limit, context))
        )

    return router


def threads_router(services: Services) -> APIRouter:
    """The router of threads and their items, in keyset pages `{"data", "has_more", "after"}`."""
    router = APIRouter(prefix="/chatkit/threads", tags=["threads"], route_class=JsonRoute)

    _add_creation(router, services)

    @router.get("", response_model=Page[Thread])
    async def list_threads(  # pyright: ignore[reportUnusedFunction]
        context: ChatContext, limit: Limit = 20, after: str | None = None, order: Order = "desc"
    ) -> Response:
        """A page of the caller's threads, newest first by default."""
        return _json(
            services, context, await queries.list_threads(services.server, limit, after, order, context)
        )

    @router.get("/{thread_id}", response_model=Thread)
    async def get_thread(  # pyright: ignore[reportUnusedFunction]
        thread_id: str, context: ChatContext, include: Literal["items"] | None = None
    ) -> Response:
        """A thread with its first page of items, oldest first; with `include=items`, with its newest items instead: the
        page that `…/items` returns."""
        load_partial = services.runs.partial_items
        thread = await queries.get_thread(services.server, thread_id, context, load_partial)
        if include is not None:
            size = queries.DEFAULT_PAGE
            page = await queries.list_items(
                services.server, thread_id, size, None, "desc", context, load_partial
            )
            thread = thread.model_copy(update={"items": page})
        return _json(services, context, thread)

    @router.patch("/{thread_id}", response_model=Thread)
    async def rename_thread(  # pyright: ignore[reportUnusedFunction]
        thread_id: str, patch: ThreadPatch, context: ChatContext
    ) -> Response:
        """Rename a thread."""
        return _json(
            services,
            context,
            await queries.rename(services.server, thread_id, clean_title(patch.title), context),
        )

    @router.delete("/{thread_id}", status_code=204)
    async def delete_thread(thread_id: str, context: ChatContext) -> None:  # pyright: ignore[reportUnusedFunction]
        """Delete a thread with its items. A run in progress is stopped first."""
        await services.runs.stop_in_thread(thread_id, context.identity)
        await queries.delete_thread(services.server, thread_id, context)

    _add_items(router, services)
    return router


def _add_creation(router: APIRouter, services: Services) -> None:
    limits = request_limits(services.settings)

    @router.post(
        "",
        status_code=201,
        response_model=Thread,
        dependencies=[Depends(check_content_type)],
        openapi_extra={"parameters": [KEY_HEADER]},
    )
    async def create_thread(  # pyright: ignore[reportUnusedFunction]
        request: Request, thread: NewThread, context: ChatContext
    ) -> Response:
        """Create a thread without messages. Sending a request again with the same `Idempotency-Key` creates nothing and
        returns the first one's thread."""
        limits.check_metadata(thread.metadata)
        title = None if thread.title is None else clean_title(thread.title)

        async def respond() -> bytes:
            return encode(await queries.create_thread(services.server, title, thread.metadata, context))

        key = idempotency_key(request)
        body = await services.runs.answer_once(thread, context, key, respond)
        return Response(body, status_code=201, media_type="application/json")


def _add_items(router: APIRouter, services: Services) -> None:
    @router.get("/{thread_id}/items", response_model=Page[ThreadItem])
    async def list_items(  # pyright: ignore[reportUnusedFunction]
        thread_id: str,
        context: ChatContext,
        limit: Limit = 20,
        after: str | None = None,
        order: Order = "desc",
    ) -> Response:
        """A page of a thread's items, newest first by default."""
        await load_thread(services.server, thread_id, context)
        load_partial = services.runs.partial_items
        return _json(
            services,
            context,
            await queries.list_items(services.server, thread_id, limit, after, order, context, load_partial),
        )


def feedback_router(services: Services) -> APIRouter:
    """The router of feedback."""
    router = APIRouter(prefix="/chatkit/threads", tags=["threads"])

    @router.get("/{thread_id}/feedback")
    async def list_feedback(thread_id: str, context: ChatContext) -> FeedbackPage:  # pyright: ignore[reportUnusedFunction]
        """The caller's feedback on items of the thread."""
        feedback = await queries.feedback(services.server, thread_id, context)
        return FeedbackPage(data=[FeedbackResponse.of(each) for each in feedback])

    return router


def _json(services: Services, context: RequestContext, model: Any) -> Response:
    return Response(links_for(services, context)(encode(model)), media_type="application/json")
