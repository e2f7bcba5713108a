"""Forms and widgets of the agent on the page: what is typed into them stays, and what is chosen is sent."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from agents import Agent, function_tool
from agents.tool_context import ToolContext
from chatkit.types import (
    StructuredInputFreeform,
    StructuredInputItem,
    StructuredInputMultipleChoice,
    StructuredInputMultipleChoiceOption,
    ThreadItemDoneEvent,
    ThreadItemReplacedEvent,
)
from chatkit.widgets import Button as WidgetButton
from chatkit.widgets import Card, Checkbox, Input, RadioGroup, Select, Text, Textarea
from chatkit.widgets import Form as WidgetForm
from playwright.async_api import Locator, Route

from backchannel import Application
from backchannel.testing import Call, Say, ScriptedModel
from browser.chat_page import ChatPage, OpenPage
from browser.waiting import expect

pytestmark = [pytest.mark.browser, pytest.mark.row("H3")]

OPTIONS: list[Any] = [{"label": name, "value": name.lower()} for name in ("Small", "Large")]


def form(*before: str, city: str | None = None) -> Card:
    action: Any = {"type": "save", "payload": {"form": 1}}
    return Card(
        children=[
            *(Text(value=text) for text in before),
            WidgetForm(
                onSubmitAction=action,
                children=[
                    Input(name="city", placeholder="City", defaultValue=city),
                    Text(value=f"{len(before)} before"),
                    Textarea(name="note", placeholder="Note"),
                    Select(name="size", placeholder="Size", options=OPTIONS, defaultValue="small"),
                    Checkbox(name="gift", label="As a gift"),
                    RadioGroup(name="speed", ariaLabel="Speed", options=OPTIONS, defaultValue="small"),
                    WidgetButton(label="Save", submit=True),
                ],
            ),
        ]
    )


class Steps:
    """The states of a widget, one at a time.

    Attributes:
        shown: What a tool of the agent shows.
        actions: The actions that came, as (type, payload).
    """

    def __init__(self, first: Card) -> None:
        self.shown: asyncio.Queue[Card | None] = asyncio.Queue()
        self.shown.put_nowait(first)
        self.actions: list[tuple[str, Any]] = []
        self.reply: Card | None = None

    async def stream(self) -> AsyncIterator[Card]:
        while (card := await self.shown.get()) is not None:
            yield card

    async def act(self, thread: Any, action: Any, sender: Any, context: Any) -> AsyncIterator[Any]:
        self.actions.append((action.type, action.payload))
        yield ThreadItemReplacedEvent(item=sender.model_copy(update={"widget": self.reply or sender.widget}))

    def application(self) -> Application:
        @function_tool
        async def show(ctx: ToolContext[Any]) -> str:
            """Show a widget."""
            await ctx.context.stream_widget(self.stream())
            return "shown"

        model = ScriptedModel(Call("show"), Say("Here."))
        return Application(agent=Agent(name="A", model=model, tools=[show]), actions={"save": self.act})


async def opened(open_page: OpenPage, serve: Any, steps: Steps) -> ChatPage:
    served = await serve(steps.application())
    chat = await open_page(at=served.url)
    await chat.load()
    await chat.send("show it")
    return chat


def named(chat: ChatPage, role: Any, name: str) -> Locator:
    return chat.messages.get_by_role(role, name=name)


async def selected(field: Locator) -> str:
    return await field.evaluate(
        "field => document.activeElement === field ? field.value.slice(field.selectionStart, field.selectionEnd) : null"
    )


# 0cv/herdr-mobile-relay#6, PolymerLabs/arcs#1556, OpenFn/lightning#2739: an update wiped what was being typed.
async def test_an_update_of_a_widget_leaves_alone_what_is_being_typed(
    open_page: OpenPage, serve: Any
) -> None:
    steps = Steps(form("One"))
    chat = await opened(open_page, serve, steps)
    city, note = named(chat, "textbox", "City"), named(chat, "textbox", "Note")
    size, gift = named(chat, "combobox", "Size"), named(chat, "checkbox", "As a gift")
    large = named(chat, "radio", "Large")
    await note.fill("Ring twice")
    await size.select_option("large")
    await gift.check()
    await large.check()
    await city.fill("Lisbon")
    await city.evaluate("field => field.setSelectionRange(1, 4)")

    for before in (["One", "Two"], ["Three"], []):
        steps.shown.put_nowait(form(*before))
        await expect(chat.messages).to_contain_text(f"{len(before)} before")
        assert await selected(city) == "isb"
    steps.shown.put_nowait(None)
    await chat.wait_until_idle()

    assert await selected(city) == "isb"
    await expect(note).to_have_value("Ring twice")
    await expect(size).to_have_value("large")
    await expect(gift).to_be_checked()
    await expect(large).to_be_checked()

    # What was sent is the agent's: it may empty the form.
    steps.reply = form("Saved")
    await named(chat, "button", "Save").click()
    await expect(chat.messages).to_contain_text("Saved")
    values = {"city": "Lisbon", "note": "Ring twice", "size": "large", "gift": True, "speed": "large"}
    assert steps.actions == [("save", {"form": 1, **values})]
    await expect(city).to_have_value("")
    await expect(note).to_have_value("")
    await expect(size).to_have_value("small")
    await expect(gift).not_to_be_checked()
    await expect(large).not_to_be_checked()
    # A field that the agent describes otherwise gets the new value.
    await note.fill("Ring once")
    await city.fill("Porto")
    steps.reply = form("Saved again", city="Faro")
    await chat.wait_until_idle()
    await named(chat, "button", "Save").click()
    await expect(city).to_have_value("Faro")
    assert chat.problems == []


def settings(**defaults: Any) -> Card:
    def action(name: str) -> Any:
        return {"type": "save", "payload": {"control": name}}

    return Card(
        children=[
            Checkbox(name="gift", label="As a gift", onChangeAction=action("gift"), **defaults),
            Select(name="size", placeholder="Size", options=OPTIONS, onChangeAction=action("size")),
            RadioGroup(name="speed", ariaLabel="Speed", options=OPTIONS, onChangeAction=action("speed")),
            Input(name="city", placeholder="City"),
        ]
    )


# streamlit/streamlit#10169: a change that was made while the application was busy never reached it.
async def test_a_control_whose_change_cannot_be_sent_cannot_be_changed(
    open_page: OpenPage, serve: Any
) -> None:
    steps = Steps(settings())
    chat = await opened(open_page, serve, steps)
    gift, size = named(chat, "checkbox", "As a gift"), named(chat, "combobox", "Size")
    large = named(chat, "radio", "Large")
    for control in (gift, size, large):
        await expect(control).to_be_disabled()
    # It sends nothing by itself.
    await named(chat, "textbox", "City").fill("Lisbon")
    steps.shown.put_nowait(None)
    await chat.wait_until_idle()

    await gift.focus()
    await chat.page.keyboard.press("Space")
    # At once, before a second change can be made.
    assert await gift.is_disabled()
    await expect(gift).to_be_enabled()
    await expect(gift).to_be_focused()
    await size.select_option("large")
    await expect(large).to_be_enabled()
    await large.check()
    await expect(gift).to_be_enabled()
    assert steps.actions == [
        ("save", {"control": "gift", "gift": True}),
        ("save", {"control": "size", "size": "large"}),
        ("save", {"control": "speed", "speed": "large"}),
    ]
    await expect(gift).to_be_checked()
    await expect(large).to_be_checked()

    async def refuse(route: Route) -> None:
        await route.fulfill(status=429, json={"code": "rate_limited", "message": "Too many changes."})

    await chat.on_operation("threads.custom_action", refuse)
    await gift.focus()
    await chat.page.keyboard.press("Space")
    await expect(chat.alert).to_contain_text("Too many changes.")
    await expect(gift).to_be_checked()
    await size.select_option("small")
    await expect(size).to_have_value("large")
    await named(chat, "radio", "Small").click()
    await expect(large).to_be_checked()
    await expect(named(chat, "textbox", "City")).to_have_value("Lisbon")
    assert len(steps.actions) == 3


@function_tool
async def ask_person(ctx: ToolContext[Any]) -> str:
    """Ask the person."""
    thread, store = ctx.context.thread, ctx.context.store
    options = [StructuredInputMultipleChoiceOption(value=value) for value in ("Oat", "Soy")]
    item = StructuredInputItem(
        id=store.generate_item_id("message", thread, ctx.context.request_context),
        thread_id=thread.id,
        created_at=datetime.now(UTC),
        inputs=[
            StructuredInputMultipleChoice(id="milk", question="Which milk?", options=options),
            StructuredInputMultipleChoice(id="more", question="What else?", options=options, multiple=True),
            StructuredInputFreeform(id="why", question="Why?"),
        ],
    )
    await ctx.context.stream(ThreadItemDoneEvent(item=item))
    return "asked"


# CherryHQ/cherry-studio#20783, tiann/hapi#1853, Untrivial-ai/agent-orchestrator#5794, nimbalyst/nimbalyst#1418
async def test_unsent_answers_to_questions_are_there_when_one_comes_back(
    open_page: OpenPage, serve: Any
) -> None:
    model = ScriptedModel(Call("ask_person"), Say("Tell me."), Say("Thanks."))
    served = await serve(Agent(name="A", model=model, tools=[ask_person]))
    chat = await open_page(at=served.url)
    await chat.load()
    await chat.ask("help")
    address = chat.page.url
    soy = named(chat, "group", "Which milk?").get_by_role("radio", name="Soy")
    other = named(chat, "textbox", "Another answer: What else?")
    why = named(chat, "textbox", "Why?")
    await soy.check()
    await other.fill("Rice")
    await why.fill("For breakfast")

    async def all_there() -> None:
        await expect(soy).to_be_checked()
        await expect(other).to_have_value("Rice")
        await expect(why).to_have_value("For breakfast")

    await chat.button("New chat").click()
    await expect(why).to_have_count(0)
    await chat.page.evaluate("address => { location.href = address }", address)
    await all_there()
    await chat.page.reload()
    await all_there()
    await chat.button("Send answers").click()

    answers = chat.messages.get_by_label("Your answers")
    await expect(answers).to_contain_text("Soy")
    await expect(answers).to_contain_text("Rice")
    await chat.wait_until_idle()
    assert await chat.page.evaluate("Object.keys(sessionStorage)") == []
