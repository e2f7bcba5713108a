"""A server's inside that takes in messages as fast as it can and says which it has accepted, until it is killed."""

import asyncio
import sys

from agents import Agent
from chatkit.types import InferenceOptions, ThreadCreateParams, ThreadsCreateReq, UserMessageInput
from chatkit.types import UserMessageTextContent as Text

from backchannel.context import Identity, RequestContext
from backchannel.settings import Settings
from backchannel.testing import Say, ScriptedModel
from backchannel.wiring import build

WRITERS = 8


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


async def main(url: str, turns: int) -> None:
    settings = Settings(_env_file=None, database_url=url)
    model = ScriptedModel(*(Say(["An ", f"answer {number}"]) for number in range(turns)))
    backchannel = build(settings, Agent(name="A", model=model))
    numbers = iter(range(turns))
    async with backchannel.running():
        print("ready", flush=True)
        async with asyncio.TaskGroup() as group:
            for _ in range(WRITERS):
                group.create_task(write(backchannel, numbers))
    print("all", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
