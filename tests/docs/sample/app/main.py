"""Made like OpenAI's samples: a server at import, a store without owners, a context with the request, routes beside it.

Answers need no model: they say which page the request's header names.
"""

from datetime import datetime
from typing import Annotated, Any

from chatkit.server import ChatKitServer, StreamingResult
from chatkit.store import NotFoundError, Store
from chatkit.types import AssistantMessageContent, AssistantMessageItem, Page, ThreadItemDoneEvent
from fastapi import Depends, FastAPI, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, ConfigDict


class RequestContext(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    request: Request | None
    map_id: str


class MemoryStore(Store[Any]):
    """Threads and items of all callers together."""

    def __init__(self) -> None:
        self.threads: dict[str, Any] = {}
        self.items: dict[str, list[Any]] = {}

    async def load_thread(self, thread_id, context):
        if thread_id not in self.threads:
            raise NotFoundError(thread_id)
        return self.threads[thread_id].model_copy()

    async def save_thread(self, thread, context):
        self.threads[thread.id] = thread

    async def load_threads(self, limit, after, order, context):
        return Page(data=list(self.threads.values()), has_more=False)

    async def delete_thread(self, thread_id, context):
        self.threads.pop(thread_id, None)

    async def load_thread_items(self, thread_id, after, limit, order, context):
        items = self.items.get(thread_id, [])
        return Page(data=items[::-1] if order == "desc" else items, has_more=False)

    async def add_thread_item(self, thread_id, item, context):
        self.items.setdefault(thread_id, []).append(item)

    save_item = add_thread_item

    async def load_item(self, thread_id, item_id, context):
        for item in self.items.get(thread_id, []):
            if item.id == item_id:
                return item
        raise NotFoundError(item_id)

    async def delete_thread_item(self, thread_id, item_id, context):
        self.items[thread_id] = [item for item in self.items.get(thread_id, []) if item.id != item_id]

    async def save_attachment(self, attachment, context):
        raise NotImplementedError

    async def load_attachment(self, attachment_id, context):
        raise NotImplementedError

    async def delete_attachment(self, attachment_id, context):
        raise NotImplementedError


class SampleServer(ChatKitServer[Any]):
    def __init__(self) -> None:
        self.store = MemoryStore()
        super().__init__(self.store)
        self.answers: dict[str, int] = {}

    async def respond(self, thread, input_user_message, context):
        self.answers[thread.id] = self.answers.get(thread.id, 0) + 1
        what = context.map_id if isinstance(context, RequestContext) else sorted(context)
        content = AssistantMessageContent(text=f"context: {what}")
        item_id = self.store.generate_item_id("message", thread, context)
        yield ThreadItemDoneEvent(
            item=AssistantMessageItem(
                id=item_id, thread_id=thread.id, created_at=datetime.now(), content=[content]
            )
        )


app = FastAPI()
server = SampleServer()


def get_chatkit_server() -> SampleServer:
    return server


Server = Annotated[SampleServer, Depends(get_chatkit_server)]


@app.post("/chatkit")
async def chatkit(request: Request, server: Server) -> Response:
    result = await server.process(await request.body(), {"request": request})
    if isinstance(result, StreamingResult):
        return StreamingResponse(result, media_type="text/event-stream")
    return Response(content=result.json, media_type="application/json")


@app.get("/answers/{thread_id}")
async def answers(thread_id: str, server: Server) -> dict[str, int]:
    return {"answers": server.answers.get(thread_id, 0)}
