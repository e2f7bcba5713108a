"""Guardrails and the formatter of tool errors of `Application.run_config`."""

from typing import Any

import pytest
from agents import (
    Agent,
    GuardrailFunctionOutput,
    InputGuardrail,
    ModelSettings,
    OutputGuardrail,
    RunConfig,
    RunContextWrapper,
    Runner,
    ToolErrorFormatterArgs,
    function_tool,
)

from backchannel import Application
from backchannel.testing import Call, Say, ScriptedModel
from backchannel.testing.endpoints import Call as EndpointCall
from backchannel.testing.endpoints import Say as EndpointSay
from field.erasing import APPROVE
from field.odd_models import error, lookup, outputs, say, texts
from field.test_sdk_run_config import configured

pytestmark = pytest.mark.row("B10")


class Checks:
    """A guardrail that asks an agent, and trips at one word."""

    def __init__(self, word: str) -> None:
        self.word = word
        self.seen: list[str] = []
        self.judge = Agent[Any](name="Judge", model=ScriptedModel(*[Say("fine")] * 4))

    async def check(self, context: RunContextWrapper[Any], _agent: Any, text: Any) -> GuardrailFunctionOutput:
        self.seen.append(str(text))
        await Runner.run(self.judge, "?", context=context.context, run_config=context.context.run_config)
        return GuardrailFunctionOutput(None, self.word in str(text))


async def test_an_input_guardrail_of_the_run(serve: Any) -> None:
    """It does not check the agent that it asks itself."""
    checks = Checks("homework")
    guardrail = InputGuardrail(guardrail_function=checks.check, run_in_parallel=False)
    agent = Agent[Any](name="A", model=ScriptedModel(Say("fine")))
    served = await serve(configured(agent, input_guardrails=[guardrail]), titles="rule")
    thread_id, events = await served.create()
    assert error(events) is None
    assert error(await say(served, thread_id, "do my homework")) == ("guardrail", False)
    assert len(checks.seen) == 2


async def test_an_output_guardrail_of_the_run(serve: Any) -> None:
    checks = Checks("secret")
    guardrail = OutputGuardrail(guardrail_function=checks.check)
    agent = Agent[Any](name="A", model=ScriptedModel(Say("a secret"), Say("nothing")))
    served = await serve(configured(agent, output_guardrails=[guardrail]), titles="rule")
    thread_id, events = await served.create()
    assert error(events) == ("guardrail", False)
    assert error(await say(served, thread_id, "and?")) is None
    assert texts(await served.items(thread_id)) == ["hello", "and?", "nothing"]
    assert checks.seen == ["a secret", "nothing"]


@pytest.mark.parametrize("message", [None, "[withheld]"])
async def test_a_tools_output_that_is_rejected_as_the_answer_is_in_no_later_input(
    serve: Any, message: str | None
) -> None:
    """The journal had it, so every later turn's model read what the guardrail had rejected."""
    checks = Checks("found")
    model = ScriptedModel(Call("lookup", {"q": "x"}), Say("ok"))
    agent = Agent[Any](name="A", model=model, tools=[lookup], tool_use_behavior="stop_on_first_tool")
    application = configured(
        agent,
        output_guardrails=[OutputGuardrail(guardrail_function=checks.check)],
        output_guardrail_blocked_message=message,
    )
    served = await serve(application, titles="rule")
    thread_id, events = await served.create()
    assert error(events) == ("guardrail", False)
    await say(served, thread_id, "and?")
    [told] = outputs(model)
    assert "found x" not in str(told)
    if message is not None:
        assert told == message


@function_tool
def broken(q: str) -> str:
    """Fail."""
    raise RuntimeError("secret words")


async def test_a_formatter_of_the_run_words_the_errors_of_tools(serve: Any) -> None:
    """They are logged and shown as failed all the same; without an answer of the formatter, the server's words stay."""
    kinds: list[str] = []

    def word(args: ToolErrorFormatterArgs[Any]) -> str | None:
        kinds.append(args.kind)
        return "Try later." if args.kind == "tool_exception" else None

    model = ScriptedModel([Call("broken", {"q": "x"}), Call("no_such_tool")], Say("done"))
    agent = Agent[Any](name="A", model=model, tools=[broken])
    served = await serve(configured(agent, tool_error_formatter=word), titles="rule")
    thread_id, events = await served.create()
    assert error(events) is None
    assert sorted(kinds) == ["tool_exception", "tool_not_found"]
    assert "Try later." in outputs(model)
    assert not any("secret" in str(each) for each in outputs(model))
    workflows = [item["workflow"] for item in await served.items(thread_id) if item["type"] == "workflow"]
    shown = [task["content"] for flow in workflows for task in flow["tasks"]]
    assert all(each.startswith("Failed.") for each in shown)
    assert len(shown) == 2


def not_now(_error: ToolErrorFormatterArgs[Any]) -> str:
    return "Not now."


@pytest.mark.row("M13")
@pytest.mark.parametrize(
    ("choice", "told"), [("Decline", "Not now."), ("Decline: too loud", "They said: too loud")]
)
async def test_a_formatter_of_the_run_words_what_is_declined(erasing: Any, choice: str, told: str) -> None:
    """examples/agent_patterns/human_in_the_loop_custom_rejection.py. A reason of the person wins, as in the SDK. The
    settings of the run hold after a restart, too."""
    chat = erasing()

    def application() -> Application:
        return configured(
            chat.agent(),
            tool_error_formatter=not_now,
            model_settings=ModelSettings(temperature=0.5),
        )

    await chat.start(application())
    chat.endpoint.add(EndpointCall("erase", {"path": "/a"}), EndpointSay("As you wish."))
    thread_id, _ = await chat.served.create()
    await chat.restart(application())
    assert error(await chat.answer(thread_id, choice)) is None
    assert chat.erased == []
    assert told in str(chat.endpoint.requests[-1].body)
    assert [request.body["temperature"] for request in chat.endpoint.requests] == [0.5, 0.5]
    flows = [item["workflow"] for item in await chat.served.items(thread_id) if item["type"] == "workflow"]
    assert flows[-1]["tasks"][-1]["content"].startswith("Declined.")


async def test_an_approved_call_goes_on_under_the_configuration(erasing: Any) -> None:
    """A guardrail of the run checks the answer that comes after the approval."""
    chat = erasing()
    checks = Checks("Gone")
    config = RunConfig(output_guardrails=[OutputGuardrail(guardrail_function=checks.check)])
    await chat.start(Application(agent=chat.agent(), run_config=config))
    chat.endpoint.add(EndpointCall("erase", {"path": "/a"}), EndpointSay("Gone."))
    thread_id, _ = await chat.served.create()
    assert error(await chat.answer(thread_id, APPROVE)) == ("guardrail", False)
    assert chat.erased == ["/a"]
    assert texts(await chat.served.items(thread_id)) == ["hello"]
