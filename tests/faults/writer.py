"""A server's inside that takes in messages as fast as it can and says which it has accepted, until it is killed.

With no messages to take in, it goes on with what others have left."""

import asyncio
import sys

from agents import Agent
from chatkit.types import InferenceOptions, ThreadCreateParams, ThreadsCreateReq, UserMessageInput
from chatkit.types import UserMessageTextContent as Text
from sqlalchemy import text

from backchannel.context import Identity, RequestContext
from backchannel.settings import Settings
from backchannel.stores.sql.engine import Database
from backchannel.testing import Say, ScriptedModel
from backchannel.wiring import build

WRITERS = 8
SPARE = 400
SETTLE_SECONDS = 60


async def write(backchannel, numbers) -> None:
    for number in numbers:
        message = UserMessageInput(
            content=[Text(text=f"question {number}")], attachments=[], inference_options=InferenceOptions()
        )
        request = ThreadsCreateReq(params=ThreadCreateParams(input=message))
        context = RequestContext(Identity("ada"))
        run_id = await backchannel.runs.start(request, context)
        record = await backchannel.runs.load(run_id, context.identity)
        print(record.thread_id, flush=True)


async def settled(backchannel) -> None:
    """Wait until no run is left of those that were killed."""
    runs = Database(backchannel.settings.database_url)
    async with asyncio.timeout(SETTLE_SECONDS):
        left = 1
        while left:
            await asyncio.sleep(0.1)
            async with runs.read() as connection:
                active = text("SELECT count(*) FROM runs WHERE status IN ('queued', 'running')")
                left = (await connection.execute(active)).scalar_one()
    await runs.close()


async def main(url: str, turns: int) -> None:
    settings = Settings(_env_file=None, database_url=url)
    # More than its own turns: it goes on with those of processes that were killed.
    model = ScriptedModel(*(Say(["An ", f"answer {number}"]) for number in range(turns + SPARE)))
    backchannel = build(settings, Agent(name="A", model=model))
    numbers = iter(range(turns))
    async with backchannel.running():
        print("ready", flush=True)
        async with asyncio.TaskGroup() as group:
            for _ in range(WRITERS):
                group.create_task(write(backchannel, numbers))
        if turns == 0:
            await settled(backchannel)
    print("all", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
