"""The plain pattern: a ChatKit server as OpenAI's samples write it, with FastAPI, in one file.

    PLAIN_STORE=memory uv run uvicorn benchmarks.plain_app:app

`PLAIN_STORE` is `memory`, or the path of an SQLite file.
"""

import os
from collections.abc import AsyncIterator
from pathlib import Path

from agents import Runner, set_trace_processors
from chatkit.agents import AgentContext, simple_to_agent_input, stream_agent_response
from chatkit.server import ChatKitServer, StreamingResult
from chatkit.store import Store
from chatkit.types import ThreadMetadata, ThreadStreamEvent, UserMessageItem
from fastapi import FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import Response, StreamingResponse

from benchmarks.agent import agent
from benchmarks.plain_store import MemoryStore, PlainStore

# As Backchannel does: no contender tells OpenAI of what it does.
set_trace_processors([])


class PlainServer(ChatKitServer[str]):
    """Answers with the agent. The context is the person's name."""

    def __init__(self, store: Store[str]) -> None:
        super().__init__(store)

    async def respond(
        self, thread: ThreadMetadata, input_user_message: UserMessageItem | None, context: str
    ) -> AsyncIterator[ThreadStreamEvent]:
        page = await self.store.load_thread_items(
            thread.id, after=None, limit=20, order="desc", context=context
        )
        agent_context = AgentContext(thread=thread, store=self.store, request_context=context)
        result = Runner.run_streamed(
            agent, await simple_to_agent_input(list(reversed(page.data))), context=agent_context
        )
        async for event in stream_agent_response(agent_context, result):
            yield event


def _store() -> Store[str]:
    kind = os.environ["PLAIN_STORE"]
    return MemoryStore() if kind == "memory" else PlainStore(Path(kind))


app = FastAPI(title="The plain pattern")
app.add_middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["*"], allow_headers=["*"])
server = PlainServer(_store())


@app.post("/api/chatkit")
async def chatkit(request: Request) -> Response:
    """Any op of the ChatKit protocol."""
    result = await server.process(await request.body(), "ada")
    if isinstance(result, StreamingResult):
        return StreamingResponse(result, media_type="text/event-stream")
    return Response(content=result.json, media_type="application/json")
