"""No API refuses the next message of any thread, whatever is in it: cut calls, repeated ids, blanks, refusals, stops,
crashes, deleted items, changed tools, huge outputs."""

from datetime import datetime
from itertools import count
from typing import Any

import pytest
from chatkit import types as ck
from hypothesis import given, settings
from hypothesis import strategies as some

from backchannel.chat.agent.converter import HistoryConverter
from backchannel.chat.agent.history import to_model_input
from backchannel.chat.recovery import journal
from backchannel.model_calls.model_input import normalize_input
from backchannel.testing.endpoints import violations_of_input
from backchannel.testing.endpoints.rules import APIS

pytestmark = pytest.mark.row("C8", "H7", "M1", "M2", "M3", "M4", "M8", "M17")

_NUMBERS = count()
DATA_URL = "data:image/png;base64," + "iVBORw0KGgo" + "A" * 20_000


def base() -> dict[str, Any]:
    return {"id": f"it_{next(_NUMBERS)}", "thread_id": "thr_1", "created_at": datetime(2026, 11, 22)}


def user(text: str, **more: Any) -> ck.UserMessageItem:
    content: list[Any] = [ck.UserMessageTextContent(text=text)]
    return ck.UserMessageItem(**base(), content=content, inference_options=ck.InferenceOptions(), **more)


def assistant(texts: list[str]) -> ck.AssistantMessageItem:
    return ck.AssistantMessageItem(
        **base(), content=[ck.AssistantMessageContent(text=text) for text in texts]
    )


def hidden(entry: journal.Entry) -> ck.HiddenContextItem:
    return ck.HiddenContextItem(**base(), content=journal.to_item(entry, "thr_1").content)


def client_call(call_id: str, name: str, status: Any, output: Any) -> ck.ClientToolCallItem:
    return ck.ClientToolCallItem(
        **base(), status=status, call_id=call_id, name=name, arguments={"a": 1}, output=output
    )


TEXTS = some.sampled_from(["", " ", "\n", "hello", "\ud83d", "a\0b", "你好" * 500, "I can't."])
IDS = some.sampled_from(["call_0", "call_1", "", "a" * 80, "call é"])
NAMES = some.sampled_from(
    ["lookup", "functions.lookup", "lookup<|channel|>json", "", "näme", "7up", "n" * 90]
)
ARGUMENTS = some.sampled_from(['{"q": "x', "", "null", "[1]", "{}", '{"a": 1}', '{"a": NaN}', "text"])
OUTPUTS = some.sampled_from([
    None, "", " ", "ok", "x" * 30_000, DATA_URL, {"a": [1]}, [], [{"type": "input_image", "image_url": DATA_URL}],
    [{"type": "input_text", "text": "page"}, {"type": "input_file", "file_data": DATA_URL}], 7, True, "\ud83d",
])  # fmt: skip
CALLS = some.builds(
    lambda call, name, arguments, output, finished: hidden(
        journal.ToolCall(call_id=call, name=name, arguments=arguments, output=output, finished=finished)
    ),
    IDS, NAMES, ARGUMENTS, OUTPUTS, some.booleans(),
)  # fmt: skip
OTHERS: list[Any] = [
    lambda: hidden(journal.HandOff(agent="B")),
    lambda: hidden(journal.IntermediateMessage(item_id="it_0")),
    lambda: hidden(journal.QueuedClientCall(call_id="call_1", name="pick", arguments={})),
    lambda: ck.HiddenContextItem(**base(), content={"kind": "foreign"}),
    lambda: ck.SDKHiddenContextItem(**base(), content="The user cancelled the stream."),
    lambda: ck.WorkflowItem(**base(), workflow=ck.Workflow(type="custom", tasks=[ck.CustomTask(title="T")])),
    lambda: ck.TaskItem(**base(), task=ck.CustomTask(title="Did it")),
    lambda: ck.GeneratedImageItem(**base(), image=ck.GeneratedImage(id="g", url=DATA_URL)),
    lambda: ck.GeneratedImageItem(**base()),
    lambda: ck.EndOfTurnItem(**base()),
    lambda: ck.WidgetItem.model_validate(
        {**base(), "type": "widget", "widget": {"type": "Card", "children": []}}
    ),
]
ITEMS = some.one_of(
    TEXTS.map(user),
    TEXTS.map(lambda text: user(text, quoted_text="quoted")),
    some.lists(TEXTS, max_size=2).map(assistant),
    CALLS,
    CALLS,
    some.builds(client_call, IDS, NAMES, some.sampled_from(["pending", "completed"]), OUTPUTS),
    some.sampled_from(OTHERS).map(lambda make: make()),
)


@settings(max_examples=60, deadline=None)
@given(some.lists(ITEMS, max_size=14))
async def test_no_api_refuses_the_next_message(items: list[ck.ThreadItem]) -> None:
    thread = [*items, user("and now?")]
    given_input = await to_model_input(thread, HistoryConverter())
    for responses_api in (False, True):
        sent: Any = normalize_input(given_input, responses_api=responses_api)
        for profile, apis in APIS.items():
            if responses_api and apis != ("responses",):
                continue
            refused = [
                f"{profile} {each.rule}: {each.message}" for each in violations_of_input(sent, profile)
            ]
            assert refused == []
        assert "and now?" in str(sent[-1]["content"])
        assert len(str(sent)) < 150_000, "huge outputs are shortened"


@pytest.mark.parametrize("output", [DATA_URL, [{"type": "input_image", "image_url": DATA_URL}]])
async def test_a_picture_in_an_output_is_named_and_not_sent_as_text(output: Any) -> None:
    call = hidden(journal.ToolCall(call_id="c", name="chart", arguments="{}", output=output, finished=True))
    sent: Any = normalize_input(
        await to_model_input([user("draw"), call, user("thanks")], HistoryConverter())
    )
    (text,) = [each["output"] for each in sent if "output" in each]
    assert "image/png" in text
    assert len(text) < 300
    assert str(sent).count("draw") == 1


async def test_a_long_output_is_shortened_in_later_turns_and_says_how_to_get_the_rest() -> None:
    output = "begin " + "x" * 200_000 + " end"
    call = hidden(journal.ToolCall(call_id="c", name="read", arguments="{}", output=output, finished=True))
    sent: Any = await to_model_input(
        [user("read it"), call, assistant(["Done."]), user("more")], HistoryConverter()
    )
    (text,) = [each["output"] for each in sent if "output" in each]
    assert text.startswith("begin ")
    assert text.endswith(" end")
    assert "call the tool again" in text
    assert len(text) < 9_000
    assert any("read it" in str(each) for each in sent)
