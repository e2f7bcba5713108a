"""Threads that stay usable whatever a model's endpoint refused, cut or sent before: each next message is answered."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, override

import pytest
from agents import (
    Agent,
    GuardrailFunctionOutput,
    OpenAIChatCompletionsModel,
    RunContextWrapper,
    Runner,
    function_tool,
    input_guardrail,
)
from chatkit.agents import AgentContext, ClientToolCall, stream_agent_response
from chatkit.server import ChatKitServer
from chatkit.types import ThreadStreamEvent
from openai import AsyncOpenAI

from backchannel import HistoryConverter
from backchannel.context import RequestContext
from backchannel.testing import Call
from backchannel.testing.endpoints import Say, StrictEndpoint
from backchannel.testing.endpoints.wire import json_reply
from field.odd_models import CHAT, chat, error, lookup, say, served_on, texts


@pytest.mark.row("M1", "M2", "M3")
@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(("lookup", '{"q": "x', "length"), id="arguments cut off (vllm-project/vllm#43995)"),
        pytest.param(("lookup", "", "tool_calls"), id="no arguments"),
        pytest.param(("lookup", "[]", "tool_calls"), id="arguments that are a list"),
        pytest.param(
            ("lookup<|channel|>commentary", '{"q":"x"}', "tool_calls"), id="vllm-project/vllm#32587"
        ),
        pytest.param(("functions.lookup", '{"q":"x"}', "tool_calls"), id="a namespace"),
        pytest.param(("no such tool!", '{"q":"x"}', "tool_calls"), id="an unknown name"),
    ],
)
async def test_an_odd_call_is_reported_to_the_model_and_harms_no_later_turn(
    serve: Any, stack: AsyncExitStack, odd: tuple[str, str, str]
) -> None:
    name, arguments, finish = odd
    # The same id in every turn (NousResearch/hermes-agent#102629).
    answer = chat(CHAT.call(name, arguments, "call_0"), CHAT.finish(finish))
    endpoint = StrictEndpoint(
        "strictest", answer, Say("one"), answer, Say("two"), Say("three"), ignore={"call_id_format"}
    )
    served = await served_on(serve, stack, endpoint, Agent(name="A", tools=[lookup]))
    thread_id, events = await served.create()
    assert error(events) is None
    await say(served, thread_id, "again")
    await say(served, thread_id, "and again")
    assert endpoint.refused == []
    assert texts(await served.items(thread_id)) == ["hello", "one", "again", "two", "and again", "three"]
    last = endpoint.requests[-1].body["messages"]
    assert len([each for each in last if each["role"] == "tool"]) == 2, "each call has its own output"
    told = endpoint.requests[1].body["messages"][-1]
    assert told["role"] == "tool"
    assert told["content"]


REFUSED = {
    "a content filter (argo-proxy#91)": (
        json_reply({"error": {"message": "triggering Azure OpenAI's content management policy", "code": "content_filter",
                              "innererror": {"code": "ResponsibleAIPolicyViolation"}}}, 400),
        ("content_filter", False),
    ),
    "DeepSeek's filter": (json_reply({"error": {"message": "Content Exists Risk"}}, 400), ("content_filter", False)),
    "any other refusal": (
        json_reply({"error": {"message": "Invalid image.", "code": "invalid_image"}}, 400),
        ("model_request_rejected", False),
    ),
}  # fmt: skip


@pytest.mark.row("M5", "M8")
@pytest.mark.parametrize("kind", REFUSED)
async def test_a_message_that_the_endpoint_refuses_is_left_out_of_later_turns(
    serve: Any, stack: AsyncExitStack, kind: str
) -> None:
    reply, expected = REFUSED[kind]
    endpoint = StrictEndpoint("strictest", Say("one"), reply, Say("three"))
    served = await served_on(serve, stack, endpoint, Agent(name="A"))
    thread_id, _ = await served.create("first")
    assert error(await say(served, thread_id, "something bad")) == expected
    assert error(await say(served, thread_id, "something else")) is None
    sent = json.dumps(endpoint.requests[-1].body)
    assert "first" in sent
    assert "something bad" not in sent
    assert texts(await served.items(thread_id)) == [
        "first",
        "one",
        "something bad",
        "something else",
        "three",
    ]


# open-jarvis/OpenJarvis#778: what tools had done is done a second time if the model does not know of it.
@pytest.mark.row("M5", "H7")
@pytest.mark.parametrize("kind", REFUSED)
async def test_the_tools_that_ran_for_a_refused_message_are_in_later_turns_by_name(
    serve: Any, stack: AsyncExitStack, kind: str
) -> None:
    reply, expected = REFUSED[kind]
    calls = [Call("lookup", {"q": "bad"}), Call("lookup", {"q": "worse"})]
    endpoint = StrictEndpoint("strictest", Say("one"), calls, reply, Say("three"), Say("four"))
    served = await served_on(serve, stack, endpoint, Agent(name="A", tools=[lookup]))
    thread_id, _ = await served.create("first")
    assert error(await say(served, thread_id, "something evil")) == expected
    for words in ("something else", "and more"):
        assert error(await say(served, thread_id, words)) is None
        sent = json.dumps(endpoint.requests[-1].body["messages"])
        assert sent.count("These tools had been called for it: lookup.") == 1
        assert sent.index("first") < sent.index("These tools") < sent.index("something else")
        assert not any(bad in sent for bad in ("evil", "worse", "found bad"))


@pytest.mark.row("M6")
async def test_a_message_that_a_guardrail_refuses_is_not_shown_to_it_again(
    serve: Any, stack: AsyncExitStack
) -> None:
    @input_guardrail
    async def no_secrets(
        context: RunContextWrapper[Any], agent: Agent[Any], given: str | list[Any]
    ) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(output_info=None, tripwire_triggered="secret" in json.dumps(given))

    endpoint = StrictEndpoint("strictest", then=Say("fine"))
    agent = Agent(name="A", input_guardrails=[no_secrets])
    served = await served_on(serve, stack, endpoint, agent)
    thread_id, events = await served.create("my secret")
    assert error(events) == ("guardrail", False)
    assert error(await say(served, thread_id, "hello")) is None
    assert "secret" not in json.dumps(endpoint.requests[-1].body)


@pytest.mark.row("M7")
@pytest.mark.parametrize("text", ["字" * 1500, "words and " * 300], ids=["Chinese", "English"])
async def test_a_small_context_gets_fewer_turns(serve: Any, stack: AsyncExitStack, text: str) -> None:
    """RAG-Agents-Accelerator#95, open-webui/open-webui#4812."""
    endpoint = StrictEndpoint("openai-chat", then=Say("answer"), context_tokens=4_000)
    served = await served_on(serve, stack, endpoint, Agent(name="A"))
    thread_id, _ = await served.create(text)
    for number in range(8):
        assert error(await say(served, thread_id, f"{text} {number}")) is None
    refused = len(endpoint.refused)
    assert 1 <= refused <= 12, "a limit that was learned is not tried again each time"
    assert len(endpoint.requests[-1].body["messages"]) > 1, "what fits is sent"
    assert error(await say(served, thread_id, "字" * 9_000)) == ("message_too_long", False)
    assert error(await say(served, thread_id, "short")) is None


@pytest.mark.row("M8")
@pytest.mark.parametrize("status", [500, 429])
async def test_roles_alternate_after_a_failed_answer(serve: Any, stack: AsyncExitStack, status: int) -> None:
    """vllm-project/vllm#6862."""
    broken = [json_reply({"error": {"message": "x"}}, status, {"retry-after-ms": "1"}) for _ in range(3)]
    endpoint = StrictEndpoint("llama.cpp", *broken, Say("fine"))
    served = await served_on(serve, stack, endpoint, Agent(name="A"))
    thread_id, events = await served.create("first")
    assert error(events) is not None
    assert error(await say(served, thread_id, "second")) is None
    (message,) = endpoint.requests[-1].body["messages"]
    assert [part["text"] for part in message["content"]] == ["first", "second"]


@pytest.mark.row("M14")
async def test_a_server_of_ones_own_keeps_each_answer_of_chat_completions(
    serve: Any, stack: AsyncExitStack
) -> None:
    """openai/chatkit-python#36."""
    endpoint = StrictEndpoint("openai-chat", Say("one"), Say("two"), Say("three"))
    url = await stack.enter_async_context(endpoint.running())
    client = await stack.enter_async_context(AsyncOpenAI(base_url=url, api_key="any"))
    agent = Agent[Any](name="A", model=OpenAIChatCompletionsModel("m", openai_client=client))

    class Own(ChatKitServer[Any]):
        @override
        async def respond(
            self, thread: Any, input_user_message: Any, context: Any
        ) -> AsyncIterator[ThreadStreamEvent]:
            agent_context = AgentContext(thread=thread, store=self.store, request_context=context)
            page = await self.store.load_thread_items(thread.id, None, 20, "asc", context)
            result = Runner.run_streamed(
                agent, await HistoryConverter().to_agent_input(page.data), context=agent_context
            )
            async for event in stream_agent_response(agent_context, result):
                yield event

    served = await serve(Own)
    thread_id, _ = await served.create("a")
    for text in ("b", "c"):
        events = await say(served, thread_id, text)
        begun = {each["item"]["id"] for each in events if each["type"] == "thread.item.added"}
        about = {each["item_id"] for each in events if each["type"] == "thread.item.updated"}
        done = {each["item"]["id"] for each in events if each["type"] == "thread.item.done"}
        assert about <= begun
        assert begun <= done
    items = await served.items(thread_id)
    assert texts(items) == ["a", "one", "b", "two", "c", "three"]
    assert len({item["id"] for item in items}) == 6
    assert all("fake" not in item["id"] for item in items), "the placeholder would be in every thread"


@pytest.mark.row("M28", "M18")
async def test_two_client_tools_of_one_response_are_both_answered(serve: Any, stack: AsyncExitStack) -> None:
    """rakazo#416; thought signatures: openai/openai-agents-python#2137, #2155."""

    @function_tool
    async def ask(ctx: RunContextWrapper[AgentContext[RequestContext]], what: str) -> str:
        """Ask the person's browser."""
        ctx.context.client_tool_call = ClientToolCall(name="browser", arguments={"what": what})
        return "asked"

    signature = {"extra_content": {"google": {"thought_signature": "c2lnbmF0dXJl"}}}
    answer = chat(
        CHAT.call("ask", '{"what": "time"}', "call_a", **signature),
        CHAT.call("ask", '{"what": "place"}', "call_b", 1),
        CHAT.finish("tool_calls"),
    )
    endpoint = StrictEndpoint("gemini", answer, Say("Noon in Rome."), Say("fine"))
    agent = Agent(name="A", tools=[ask], tool_use_behavior={"stop_at_tool_names": ["ask"]})
    served = await served_on(serve, stack, endpoint, agent, model="gemini-3-pro")
    thread_id, events = await served.create()
    assert events[-1]["item"]["arguments"] == {"what": "time"}
    for output in ("12:00", "Rome"):
        params = {"thread_id": thread_id, "result": {"is": output}}
        events = await (await served.person.stream("threads.add_client_tool_output", params)).events()
        assert error(events) is None
    assert endpoint.refused == []
    sent = endpoint.requests[-1].body["messages"]
    assert [json.loads(each["content"])["is"] for each in sent if each["role"] == "tool"] == ["12:00", "Rome"]
    calls = [call for each in sent for call in each.get("tool_calls", [])]
    assert calls[0]["extra_content"]["google"]["thought_signature"] == "c2lnbmF0dXJl"
    assert error(await say(served, thread_id, "thanks")) is None
    assert endpoint.refused == []


@pytest.mark.row("M28")
@pytest.mark.parametrize(
    ("path", "body"),
    [
        (
            "/api/chatkit/stream",
            b'{"input": {"type": "user_message", "content": [{"type": "text", "text": "%s"}]}}',
        ),
        (
            "/api/chatkit",
            (
                b'{"type": "threads.create", "params": {"input": {"content": [{"type": "input_text", "text": "%s"}],'
                b' "attachments": [], "inference_options": {}}}}'
            ),
        ),
    ],
)
async def test_half_a_surrogate_pair_in_a_message_is_replaced(
    serve: Any, stack: AsyncExitStack, path: str, body: bytes
) -> None:
    """rakazo#416."""
    endpoint = StrictEndpoint("strictest", Say("fine"))
    served = await served_on(serve, stack, endpoint, Agent(name="A"))
    text = rb"half \ud83d, whole \ud83d\ude42, no escape \\ud83d"
    response = await served.person.http.post(
        path, content=body % text, headers={"content-type": "application/json"}
    )
    assert response.status_code == 200
    (message,) = [each for each in endpoint.requests[0].body["messages"] if each["role"] == "user"]
    content = message["content"]
    sent = content if isinstance(content, str) else content[0]["text"]
    assert sent == "half \ufffd, whole 🙂, no escape \\ud83d"
