"""What the process has loaded from which `processes.Process.fork` starts programs.

Loading it takes seconds. Of Backchannel only modules are in it whose import has no effect but to define things.
"""

import asyncio
import gc
import importlib

import chatkit.types
import httpx2
from openai.types import responses
from pydantic import BaseModel

from backchannel.models.openai_client import OpenAIClient, tls_context
from backchannel.testing.endpoints.wire import ResponsesStream, call_item, message_item

LIBRARIES = (
    *("agents", "agents.extensions.handoff_prompt", "agents.extensions.tool_output_trimmer"),
    *(
        "agents.models.openai_responses",
        "aiosqlite",
        "alembic.command",
        "alembic.config",
        "anyio._backends._asyncio",
    ),
    *(
        "asyncmy",
        "asyncpg",
        "chatkit.agents",
        "chatkit.server",
        "cyclopts.validators",
        "dateparser",
        "encodings.idna",
    ),
    *(
        "fastapi",
        "fastapi.telemetry._runtime",
        "h11",
        "httpcore2",
        "httptools",
        "httpx2",
        "importlib.readers",
    ),
    *("joserfc.jwt", "openai.resources.chat.completions.completions", "openai.resources.responses.responses"),
    *("openai.types.responses", "pydantic.v1", "pydantic_settings", "rapidfuzz", "redis.asyncio", "rich"),
    *(
        "sqlalchemy.ext.asyncio",
        "sqlalchemy.dialects.mysql.asyncmy",
        "sqlalchemy.dialects.postgresql.asyncpg",
    ),
    *("sqlalchemy.dialects.sqlite.aiosqlite", "structlog", "truststore", "uvicorn", "uvicorn.lifespan.on"),
    *("uvicorn.protocols.http.auto", "uvicorn.protocols.websockets.auto", "uvloop"),
)
OWN = ("cli", "cli.serve", "hosting.event_loop", "hosting.fastapi", "hosting.uvicorn", "todo", "wiring")


async def call_a_model() -> None:
    """Have the OpenAI client make what it makes at its first call, which takes longer than the call."""
    stream = ResponsesStream("none")
    message, call = message_item("Hello"), call_item("tool", "{}")
    parts = [*stream.created(), *stream.message(["Hello"], "msg_1"), *stream.call(call, 1)]
    told = b"".join(part for part in parts if isinstance(part, bytes)) + stream.completed([message, call])
    headers = {"content-type": "text/event-stream"}
    http_client = httpx2.AsyncClient(
        verify=tls_context(),
        transport=httpx2.MockTransport(lambda _: httpx2.Response(200, headers=headers, content=told)),
    )
    async with OpenAIClient(api_key="none", base_url="http://none", http_client=http_client) as client:
        async for _ in await client.responses.create(model="none", input="Hello", stream=True):
            pass


for name in (*LIBRARIES, *(f"backchannel.{own}" for own in OWN)):
    importlib.import_module(name)
asyncio.run(call_a_model())
# Made for good here, and not at the first use in each process.
for model in (*vars(chatkit.types).values(), *vars(responses).values()):
    if isinstance(model, type) and issubclass(model, BaseModel) and model.model_fields:
        model.model_rebuild()
# The collector of each new process passes over all this.
gc.freeze()
