"""Every op of the protocol against a server of a user's own: client tools, structured input, actions, pages."""

import asyncio
from datetime import datetime
from typing import Any

import pytest
from agents import Agent, RunContextWrapper, StopAtTools, function_tool
from chatkit.actions import Action
from chatkit.agents import AgentContext, ClientToolCall
from chatkit.server import ChatKitServer
from chatkit.types import (
    AssistantMessageContent,
    AssistantMessageItem,
    AudioInput,
    ClientEffectEvent,
    HiddenContextItem,
    NoticeEvent,
    ProgressUpdateEvent,
    StructuredInputFreeform,
    StructuredInputItem,
    StructuredInputMultipleChoice,
    StructuredInputMultipleChoiceOption,
    SyncCustomActionResponse,
    ThreadItemDoneEvent,
    TranscriptionResult,
    WidgetItem,
)
from chatkit.widgets import Card, Text

from backchannel.context import RequestContext
from backchannel.testing import Call, Say, ScriptedModel, ServerError, user_message

pytestmark = pytest.mark.row("A1", "A5")


class Plain(ChatKitServer[RequestContext]):
    """A server as people write them against the SDK; `script` says what `respond` yields."""

    feedback: list[tuple[str, list[str], str]]

    def __init__(self, store) -> None:
        super().__init__(store)
        self.script: list[Any] = []
        self.feedback = []
        self.seen: list[Any] = []

    async def respond(self, thread, input_user_message, context):
        self.seen.append(input_user_message)
        for step in self.script:
            yield step(thread, self.store, context) if callable(step) else step

    async def action(self, thread, action: Action[str, Any], sender, context):
        item = message(f"did {action.type} {action.payload} from {sender.id if sender else None}")
        yield ThreadItemDoneEvent(item=item(thread, self.store, context).item)

    async def sync_action(self, thread, action, sender, context):
        changed = sender.model_copy(update={"widget": Card(children=[Text(value=str(action.payload))])})
        return SyncCustomActionResponse(updated_item=changed)

    async def add_feedback(self, thread_id, item_ids, feedback, context):
        self.feedback.append((thread_id, item_ids, feedback))

    async def transcribe(self, audio_input: AudioInput, context):
        return TranscriptionResult(text=f"{len(audio_input.data)} bytes of {audio_input.media_type}")


def item_step(make):
    """A script step that adds the item which `make` builds."""

    def step(thread, store, context):
        base = {
            "id": store.generate_item_id("message", thread, context),
            "thread_id": thread.id,
            "created_at": datetime.now(),
        }
        return ThreadItemDoneEvent(item=make(base))

    return step


def message(text: str):
    return item_step(lambda base: AssistantMessageItem(**base, content=[AssistantMessageContent(text=text)]))


def widget():
    return item_step(lambda base: WidgetItem(**base, widget=Card(children=[Text(value="old")])))


def hidden(content: Any):
    return item_step(lambda base: HiddenContextItem(**base, content=content))


def questions():
    return item_step(
        lambda base: StructuredInputItem(
            **base,
            inputs=[
                StructuredInputMultipleChoice(
                    id="q1",
                    question="Which?",
                    options=[StructuredInputMultipleChoiceOption(value=v) for v in ("a", "b")],
                ),
                StructuredInputFreeform(id="q2", question="Why?"),
            ],
        )
    )


@pytest.fixture
async def plain(serve):
    served = await serve(Plain)
    server = served.backchannel.server
    assert isinstance(server, Plain)
    return served, server


async def test_a_server_class_is_built_with_our_store_and_served(plain):
    served, server = plain
    server.script = [message("from a plain server")]
    thread_id, events = await served.create()
    assert events[-1]["item"]["content"][0]["text"] == "from a plain server"
    assert [item["type"] for item in await served.items(thread_id)] == ["user_message", "assistant_message"]


@pytest.mark.row("P7")
async def test_passing_events_are_sent_and_not_kept(plain):
    served, server = plain
    server.script = [
        ProgressUpdateEvent(text="working"),
        NoticeEvent(level="info", message="note"),
        ClientEffectEvent(name="blink", data={"n": 1}),
    ]
    thread_id, events = await served.create()
    assert [e["type"] for e in events[-3:]] == ["progress_update", "notice", "client_effect"]
    assert len(await served.items(thread_id)) == 1


@pytest.mark.row("B6", "P4", "P29")
async def test_structured_input_is_replaced_before_the_answer(plain):
    served, server = plain
    server.script = [questions()]
    thread_id, events = await served.create()
    item_id = events[-1]["item"]["id"]
    server.script = [message("thanks")]
    answers = {"q1": {"values": ["a", "b"]}, "q9": {"values": ["who asked?"]}}
    params = {"thread_id": thread_id, "item_id": item_id, "input": {"status": "answered", "answers": answers}}
    events = await (await served.person.stream("threads.add_structured_input", params)).events()
    kinds = [event["type"] for event in events]
    assert kinds == ["stream_options", "thread.item.replaced", "thread.item.done"]
    item = events[1]["item"]
    assert item["status"] == "answered"
    assert [question["answer"] for question in item["inputs"]] == [
        {"values": ["a"], "skipped": False},
        {"values": [], "skipped": True},
    ]
    before = await served.items(thread_id)
    with pytest.raises(ServerError) as error:
        await served.person.stream("threads.add_structured_input", params)
    assert error.value.status == 409
    other = {**params, "item_id": before[0]["id"]}
    with pytest.raises(ServerError) as error:
        await served.person.stream("threads.add_structured_input", other)
    assert error.value.status == 422
    assert await served.items(thread_id) == before


@pytest.mark.row("B6", "P19")
async def test_widget_actions_stream_and_sync(plain):
    """The result of a synchronous action is kept."""
    served, server = plain
    server.script = [widget()]
    thread_id, events = await served.create()
    item_id = events[-1]["item"]["id"]
    action = {"type": "poke", "payload": {"n": 1}}
    params = {"thread_id": thread_id, "item_id": item_id, "action": action}
    events = await (await served.person.stream("threads.custom_action", params)).events()
    assert events[-1]["item"]["content"][0]["text"] == f"did poke {{'n': 1}} from {item_id}"
    response = await served.person.request("threads.sync_custom_action", params)
    assert response["updated_item"]["created_at"].endswith("Z")
    kept = next(item for item in await served.items(thread_id) if item["id"] == item_id)
    assert kept["widget"]["children"][0]["value"] == "{'n': 1}"
    not_a_widget = (await served.items(thread_id))[0]["id"]
    for op in ("threads.custom_action", "threads.sync_custom_action"):
        for wrong, status in ((not_a_widget, 422), ("msg_unknown", 404)):
            with pytest.raises(ServerError) as error:
                await served.person.request(op, {**params, "item_id": wrong})
            assert error.value.status == status


@pytest.mark.row("P17")
async def test_hidden_items_never_leave_and_never_shorten_pages(plain):
    served, server = plain
    server.script = [step for n in range(6) for step in (hidden(f"secret {n}"), message(f"m{n}"))]
    thread_id, events = await served.create()
    assert "secret" not in str(events)
    page = await served.person.request("items.list", {"thread_id": thread_id, "limit": 3, "order": "asc"})
    assert len(page["data"]) == 3
    assert page["has_more"] is True
    seen = list(page["data"])
    while page["has_more"]:
        assert page["after"] == page["data"][-1]["id"]
        page = await served.person.request(
            "items.list", {"thread_id": thread_id, "limit": 3, "order": "asc", "after": page["after"]}
        )
        seen += page["data"]
    assert "after" not in page
    assert [i["content"][0]["text"] for i in seen] == ["hello", *(f"m{n}" for n in range(6))]
    desc = await served.person.request("items.list", {"thread_id": thread_id, "limit": 100, "order": "desc"})
    assert [i["id"] for i in desc["data"]] == [i["id"] for i in reversed(seen)]
    whole = await served.person.request("threads.get_by_id", {"thread_id": thread_id})
    assert "secret" not in str(whole)
    with pytest.raises(ServerError) as error:
        await served.person.request("items.list", {"thread_id": thread_id, "after": "msg_unknown"})
    assert error.value.status == 404


@pytest.mark.row("P17")
async def test_huge_limits_are_capped(plain):
    """Clients send limit 9999."""
    served, server = plain
    server.script = [message(f"m{n}") for n in range(130)]
    thread_id, _ = await served.create()
    page = await served.person.request("items.list", {"thread_id": thread_id, "limit": 9999})
    assert len(page["data"]) == 100
    assert page["has_more"] is True


async def test_threads_are_listed_in_pages_newest_first(plain):
    served, _ = plain
    ids = [(await served.create(f"thread {n}"))[0] for n in range(5)]
    first = await served.person.request("threads.list", {"limit": 2, "order": "desc"})
    assert [t["id"] for t in first["data"]] == [ids[4], ids[3]]
    second = await served.person.request("threads.list", {"limit": 2, "after": first["after"]})
    third = await served.person.request("threads.list", {"limit": 2, "after": second["after"]})
    assert [t["id"] for page in (second, third) for t in page["data"]] == [ids[2], ids[1], ids[0]]
    assert "after" not in third
    assert third["has_more"] is False
    oldest = await served.person.request("threads.list", {"limit": 1, "order": "asc"})
    assert oldest["data"][0]["id"] == ids[0]
    await served.person.request("threads.delete", {"thread_id": ids[0]})
    assert (await served.person.request("threads.list", {"limit": 100, "order": "asc"}))["data"][0][
        "id"
    ] == ids[1]


@pytest.mark.row("H8", "P20")
async def test_retry_removes_what_came_after_and_says_so(plain):
    """The SDK deletes without a word, and other tabs keep showing what is gone."""
    served, server = plain
    server.script = [hidden("note"), message("first"), message("second")]
    thread_id, events = await served.create()
    question = events[1]["item"]["id"]
    gone = [e["item"]["id"] for e in events if e["type"] == "thread.item.done"][1:]
    server.script = [message("better")]
    params = {"thread_id": thread_id, "item_id": question}
    events = await (await served.person.stream("threads.retry_after_item", params)).events()
    assert sorted(e["item_id"] for e in events if e["type"] == "thread.item.removed") == sorted(gone)
    assert [i["content"][0]["text"] for i in await served.items(thread_id)] == ["hello", "better"]
    assert server.seen[-1].id == question


async def test_feedback_reaches_the_server(plain):
    served, server = plain
    server.script = [message("m")]
    thread_id, events = await served.create()
    item_id = events[-1]["item"]["id"]
    params = {"thread_id": thread_id, "item_ids": [item_id], "kind": "positive"}
    assert await served.person.request("items.feedback", params) == {}
    assert server.feedback == [(thread_id, [item_id], "positive")]


@pytest.mark.row("H8")
async def test_dictation_decodes_the_audio(plain):
    served, _ = plain
    params = {"audio_base64": "AAEC", "mime_type": "audio/webm;codecs=opus"}
    assert await served.person.request("input.transcribe", params) == {"text": "3 bytes of audio/webm"}
    with pytest.raises(ServerError) as error:
        await served.person.request("input.transcribe", {**params, "audio_base64": "%%%"})
    assert error.value.status == 422


@pytest.mark.row("P19")
async def test_changes_of_the_thread_during_an_answer_are_kept_and_told(plain):
    served, server = plain

    def entitle(thread, store, context):
        thread.title = "Set by the server"
        thread.metadata = {"private": True}
        return ProgressUpdateEvent(text="titled")

    server.script = [entitle, message("done")]
    _, events = await served.create()
    updated = [e["thread"] for e in events if e["type"] == "thread.updated"]
    assert [thread["title"] for thread in updated] == ["Set by the server"]
    assert "private" not in str(events)
    listed = (await served.person.request("threads.list", {}))["data"][0]
    assert listed["title"] == "Set by the server"
    assert "private" not in str(listed)


@pytest.mark.row("B6", "P4")
async def test_a_client_tool_call_goes_round(serve):
    """The answer stops at the call, goes on with its result, and the model sees both."""

    @function_tool
    async def ask_browser(ctx: RunContextWrapper[AgentContext[RequestContext]], what: str) -> str:
        """Ask the person's browser."""
        ctx.context.client_tool_call = ClientToolCall(name="look_up", arguments={"what": what})
        return "asked"

    model = ScriptedModel(Call("ask_browser", {"what": "time"}), Say("It is noon."))
    agent = Agent(
        name="A",
        tools=[ask_browser],
        model=model,
        tool_use_behavior=StopAtTools(stop_at_tool_names=["ask_browser"]),
    )
    served = await serve(agent)
    thread_id, events = await served.create()
    call = events[-1]["item"]
    assert (call["type"], call["status"], call["name"], call["arguments"]) == (
        "client_tool_call",
        "pending",
        "look_up",
        {"what": "time"},
    )
    params = {"thread_id": thread_id, "result": {"time": "12:00"}}
    events = await (await served.person.stream("threads.add_client_tool_output", params)).events()
    assert events[-1]["item"]["content"][0]["text"] == "It is noon."
    shown = model.calls[-1]
    calls = [item for item in shown if item.get("type") == "function_call"]
    outputs = [item for item in shown if item.get("type") == "function_call_output"]
    assert [c["name"] for c in calls] == ["ask_browser"], "as the model called it"
    assert [c["call_id"] for c in calls] == [o["call_id"] for o in outputs]
    assert "12:00" in outputs[0]["output"]
    before = await served.items(thread_id)
    with pytest.raises(ServerError) as error:
        await served.person.stream("threads.add_client_tool_output", params)
    assert error.value.status == 409
    assert await served.items(thread_id) == before


@pytest.mark.row("P21")
async def test_a_client_tool_call_that_is_never_answered_blocks_nothing(serve):
    """Pending calls are not shown to the model."""

    @function_tool
    async def ask_browser(ctx: RunContextWrapper[AgentContext[RequestContext]]) -> str:
        """Ask the person's browser."""
        ctx.context.client_tool_call = ClientToolCall(name="look_up", arguments={})
        return "asked"

    model = ScriptedModel(Call("ask_browser"), Say("Never mind."))
    agent = Agent(
        name="A",
        tools=[ask_browser],
        model=model,
        tool_use_behavior=StopAtTools(stop_at_tool_names=["ask_browser"]),
    )
    served = await serve(agent)
    thread_id, _ = await served.create()
    events = await (await served.person.say("forget it", thread_id)).events()
    assert events[-1]["item"]["content"][0]["text"] == "Never mind."
    shown = model.calls[-1]
    calls = {item["call_id"] for item in shown if item.get("type") == "function_call"}
    outputs = {item["call_id"] for item in shown if item.get("type") == "function_call_output"}
    assert calls == outputs


@pytest.mark.row("P21")
async def test_tags_and_quotes_reach_the_model(serve):
    """Tags raise NotImplementedError in the SDK's default converter."""
    model = ScriptedModel(Say("seen"))
    served = await serve(Agent(name="A", model=model))
    tag = {"type": "input_tag", "id": "u1", "text": "Ada", "data": {"role": "boss"}}
    content = [{"type": "input_text", "text": "Ask "}, tag]
    params = {"input": {**user_message(""), "content": content, "quoted_text": "as agreed"}}
    await (await served.person.stream("threads.create", params)).events()
    shown = str(model.calls[0])
    assert "@Ada" in shown
    assert "boss" in shown
    assert "as agreed" in shown


@pytest.mark.row("P14")
async def test_items_of_equal_date_keep_their_order(plain, monkeypatch):
    """Order is by sequence, not by date."""
    served, server = plain
    same = datetime(2026, 1, 1, 12)

    def dated(n):
        def step(thread, store, context):
            content = [AssistantMessageContent(text=f"m{n}")]
            item_id = f"msg_{(n * 7) % 10}"
            return ThreadItemDoneEvent(
                item=AssistantMessageItem(id=item_id, thread_id=thread.id, created_at=same, content=content)
            )

        return step

    server.script = [dated(n) for n in range(10)]
    thread_id, _ = await served.create()
    texts = [item["content"][0]["text"] for item in await served.items(thread_id)]
    assert texts == ["hello", *(f"m{n}" for n in range(10))]


async def test_many_threads_at_once_keep_apart(serve):
    model = ScriptedModel(*[Say(f"answer {n}") for n in range(30)])
    served = await serve(Agent(name="A", model=model))
    people = [await served.someone() for _ in range(5)]

    async def talk(person):
        return [await (await person.say("hi")).events() for _ in range(6)]

    answers = await asyncio.gather(*(talk(person) for person in people))
    ids = {events[0]["thread"]["id"] for each in answers for events in each}
    assert len(ids) == 30
    for person in people:
        assert len((await person.request("threads.list", {"limit": 100}))["data"]) == 6
