"""`Application.error_handlers`: what is answered in place of an error, as with `Runner.run(…, error_handlers=…)`."""

from typing import Any

import pytest
from agents import (
    Agent,
    RunErrorHandlerInput,
    RunErrorHandlerResult,
)
from pydantic import BaseModel

from backchannel import Application
from backchannel.errors import ConfigurationError
from backchannel.testing import Call, Say, ScriptedModel
from backchannel.testing.endpoints import StrictEndpoint
from field.odd_models import CHAT, chat, error, lookup, say, served_on, texts

pytestmark = pytest.mark.row("B10")


async def test_too_many_turns_are_answered_by_the_application(serve: Any) -> None:
    """openai/openai-agents-python#2347, #4393: the answer is shown, stored, and in the next turn's input."""
    seen: list[str] = []

    async def give_up(failure: RunErrorHandlerInput[Any]) -> str:
        seen.append(failure.context.context.request_context.identity.user)
        return f"I looked {len(failure.run_data.raw_responses)} times."

    model = ScriptedModel(Call("lookup", {"q": "a"}), Call("lookup", {"q": "b"}), Say("ok"))
    agent = Agent[Any](name="A", model=model, tools=[lookup])
    application = Application(agent=agent, error_handlers={"max_turns": give_up})
    served = await serve(application, titles="rule", max_turns=2)
    thread_id, events = await served.create()
    assert error(events) is None
    assert len(seen) == 1
    assert texts(await served.items(thread_id)) == ["hello", "I looked 2 times."]
    await say(served, thread_id, "and?")
    assert {"role": "assistant", "content": "I looked 2 times."} in model.calls[-1]


async def test_a_handler_that_returns_nothing_leaves_the_error(serve: Any) -> None:
    model = ScriptedModel(Call("lookup", {"q": "a"}))
    agent = Agent[Any](name="A", model=model, tools=[lookup])
    application = Application(agent=agent, error_handlers={"max_turns": lambda _: None})
    served = await serve(application, titles="rule", max_turns=1)
    _, events = await served.create()
    assert error(events) == ("turn_limit", True)


class Sum(BaseModel):
    """A structured answer."""

    total: int


async def test_an_answer_that_does_not_fit_is_replaced(serve: Any) -> None:
    """A value is shown as that of the model would be."""
    agent = Agent[Any](name="A", model=ScriptedModel(Say("seven")), output_type=Sum)
    application = Application(
        agent=agent, error_handlers={"invalid_final_output": lambda _: RunErrorHandlerResult(Sum(total=0))}
    )
    served = await serve(application, titles="rule")
    thread_id, events = await served.create()
    assert error(events) is None
    assert texts(await served.items(thread_id))[-1] == "- **Total:** 0"


async def test_a_refusal_of_the_model_is_answered(serve: Any, stack: Any) -> None:
    """What the model said stays, and the application's answer follows."""
    refusal = chat(CHAT.delta(refusal="No."), CHAT.finish())
    endpoint = StrictEndpoint("openai-chat", refusal)
    application = Application(
        agent=Agent[Any](name="A"), error_handlers={"model_refusal": lambda _: "Ask a colleague."}
    )
    served = await served_on(serve, stack, endpoint, application)
    thread_id, events = await served.create()
    assert error(events) is None
    assert texts(await served.items(thread_id)) == ["hello", "No.", "Ask a colleague."]


@pytest.mark.parametrize(
    ("handlers", "advice"), [({"maxTurns": print}, "max_turns"), ({"max_turns": "x"}, "function")]
)
def test_handlers_that_are_none_are_refused_at_the_start(handlers: Any, advice: str) -> None:
    with pytest.raises(ConfigurationError, match=advice):
        Application(agent=Agent[Any](name="A"), error_handlers=handlers)
