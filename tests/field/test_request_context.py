"""An application's own request context: what reaches it, what is stored of it, and what it may not decide."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from agents import Agent
from chatkit.server import ChatKitServer
from chatkit.types import AssistantMessageContent, AssistantMessageItem, ThreadItemDoneEvent
from starlette.exceptions import HTTPException

from backchannel import Application
from backchannel.errors import ConfigurationError
from backchannel.stores.sql.store import SqlStore
from backchannel.stores.times import to_sdk, utc_now
from backchannel.testing import Say, ScriptedModel, ServerError

pytestmark = pytest.mark.row("K5", "D5")

CANARY = "canary-6f1d0c"


class Echo(ChatKitServer[Any]):
    """Answers with what its context says."""

    def __init__(self, store: SqlStore) -> None:
        super().__init__(store)
        self.gate = asyncio.Event()
        self.gate.set()

    async def respond(self, thread: Any, input_user_message: Any, context: Any) -> AsyncIterator[Any]:
        await self.gate.wait()
        yield ThreadItemDoneEvent(
            item=AssistantMessageItem(
                id=self.store.generate_item_id("message", thread, context),
                thread_id=thread.id,
                created_at=to_sdk(utc_now()),
                content=[AssistantMessageContent(text=str(context["seen"]))],
            )
        )


def seen(context: Any, request: Any) -> dict[str, Any]:
    names = ("x-map", "x-other", "authorization")
    return {"seen": [context.headers.get(name) for name in names], "user_id": "somebody-else"}


def bytes_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("canary.db*"))


async def test_headers_reach_the_server_and_only_named_ones_are_stored(
    serve: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str], eventually: Any
) -> None:
    """aegra/aegra#247: a token that came as run context was stored with every checkpoint."""
    file = tmp_path / "canary.db"
    application = Application(server=Echo, context=seen, context_headers=["X-Map"])
    served = await serve(application, database_url=f"sqlite:///{file}")
    served.person.http.headers.update(
        {"X-Map": "harbour", "X-Other": CANARY, "Authorization": f"Bearer {CANARY}", "X-Api-Key": CANARY}
    )
    thread_id, events = await served.create("now")
    assert events[-1]["item"]["content"][0]["text"] == f"['harbour', '{CANARY}', 'Bearer {CANARY}']"
    server = served.backchannel.server
    server.gate.clear()
    first = await served.person.say("first", thread_id)
    queued = await served.person.say("queued", thread_id)
    server.gate.set()
    await first.events()
    assert (await queued.events())[-1]["item"]["content"][0]["text"] == "['harbour', None, None]"
    stored = bytes_of(tmp_path)
    # The answer repeats it, because this server does; nothing else may.
    answers = stored.count(f"['harbour', '{CANARY}'".encode())
    assert answers
    assert stored.count(b"X-Other") == stored.count(b"x-other") == 0
    assert CANARY not in "".join(capfd.readouterr())


async def test_an_own_context_never_decides_whose_rows_are_touched(serve: Any) -> None:
    """bytedance/deer-flow PR#2676: the user fell back to a default, and isolation was gone."""
    served = await serve(Application(server=Echo, context=seen))
    thread_id, _ = await served.create()
    stranger = await served.someone()
    with pytest.raises(ServerError) as refused:
        await stranger.request("items.list", {"thread_id": thread_id})
    assert refused.value.status == 404
    assert (await stranger.request("threads.list", {}))["data"] == []


async def test_a_context_function_can_refuse(serve: Any) -> None:
    """langchain-ai/langserve PR#161: the function that reads the caller's token has to be able to say no."""

    async def refuse(context: Any, request: Any) -> None:
        raise HTTPException(403, "not here")

    model = ScriptedModel(Say("never"))
    served = await serve(Application(agent=Agent(name="A", model=model), context=refuse))
    with pytest.raises(ServerError, match="not here") as refused:
        await served.person.say("hi")
    assert refused.value.status == 403
    assert not model.calls


def test_credentials_cannot_be_named_for_storing() -> None:
    """CodefyUI/CodefyUI#251: a secret that is stored in one place only is stored."""
    with pytest.raises(ConfigurationError, match="Authorization"):
        Application(agent=Agent(name="A"), context_headers=["Authorization"])
