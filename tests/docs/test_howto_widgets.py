"""What docs/howto/widgets-and-actions.md promises (H14)."""

import pytest

from backchannel.testing import ServerError

pytestmark = pytest.mark.row("H14")


@pytest.fixture
async def served(write_page, serve):
    write_page("widgets-and-actions.md")
    return await serve("seats:app")


@pytest.fixture
async def shown(served):
    """A thread's id and the item of the widget in it."""
    thread_id, _ = await served.create("call show_seat seat=12A")
    return thread_id, await widget(served, thread_id)


async def widget(served, thread_id):
    (found,) = [item for item in await served.items(thread_id) if item["type"] == "widget"]
    return found


def text_of(item):
    return item["widget"]["children"][0]["value"]


def params_of(shown, action_type):
    thread_id, item = shown
    action = {"type": action_type, "payload": {"seat": "12A"}}
    return {"thread_id": thread_id, "item_id": item["id"], "action": action}


async def test_the_tool_shows_the_widget(shown):
    assert text_of(shown[1]) == "Seat 12A is free."
    assert shown[1]["widget"]["children"][1]["onClickAction"]["type"] == "seat.book"


async def test_an_action_replaces_the_widget_which_stays_after_a_reload(served, shown):
    stream = await served.person.stream("threads.custom_action", params_of(shown, "seat.book"))
    (replaced,) = [each for each in await stream.events() if each["type"] == "thread.item.replaced"]
    assert text_of(replaced["item"]) == "Seat 12A is booked."
    after = await widget(served, shown[0])
    assert (after["id"], text_of(after)) == (shown[1]["id"], "Seat 12A is booked.")


async def test_a_sync_action_returns_the_widget_which_stays_after_a_reload(served, shown):
    response = await served.person.request("threads.sync_custom_action", params_of(shown, "seat.hold"))
    assert text_of(response["updated_item"]) == "Seat 12A is held."
    assert text_of(await widget(served, shown[0])) == "Seat 12A is held."


async def test_an_action_without_a_handler_is_refused_with_those_that_exist(served, shown):
    with pytest.raises(ServerError, match=r"there are seat\.book") as refused:
        await served.person.stream("threads.custom_action", params_of(shown, "seat.sell"))
    assert refused.value.status == 404


@pytest.mark.parametrize(("item", "status"), [("cti_none", 404), ("message", 422)])
async def test_an_item_that_is_no_widget_is_refused(served, shown, item, status):
    if item == "message":
        item = (await served.items(shown[0]))[0]["id"]
    params = {**params_of(shown, "seat.book"), "item_id": item}
    with pytest.raises(ServerError) as refused:
        await served.person.stream("threads.custom_action", params)
    assert refused.value.status == status
    assert text_of(await widget(served, shown[0])) == "Seat 12A is free."
