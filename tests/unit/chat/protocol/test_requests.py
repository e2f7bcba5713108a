"""Each kind of bad request gets the right error, which names the field; good ones are tidied."""

import json
from typing import Any, get_args

import pytest
from chatkit.types import (
    ChatKitReq,
    ThreadsAddUserMessageReq,
    ThreadsCreateReq,
    ThreadsUpdateReq,
    UserMessageInput,
)
from hypothesis import given
from hypothesis import strategies as st

from backchannel.chat.protocol.limits import RequestLimits
from backchannel.chat.protocol.requests import (
    MAX_TITLE_CHARS,
    OPERATIONS,
    parse_request,
)
from backchannel.errors import InvalidInputError, InvalidRequestError

pytestmark = pytest.mark.row("A4", "F6")

LIMIT = 50
LIMITS = RequestLimits(message_chars=LIMIT)


def parse(body: Any) -> ChatKitReq:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return parse_request(data, LIMITS)


def message(*parts: Any, **changes: Any) -> dict[str, Any]:
    content = [{"type": "input_text", "text": part} if isinstance(part, str) else part for part in parts]
    return {"content": content, "attachments": [], "inference_options": {}, **changes}


def create(*parts: Any, **changes: Any) -> dict[str, Any]:
    return {"type": "threads.create", "params": {"input": message(*parts, **changes)}}


def rename(title: Any) -> dict[str, Any]:
    return {"type": "threads.update", "params": {"thread_id": "thr_1", "title": title}}


def said(request: ChatKitReq) -> UserMessageInput:
    assert isinstance(request, ThreadsCreateReq | ThreadsAddUserMessageReq)
    return request.params.input


def tag(text: str = "") -> dict[str, Any]:
    return {"type": "input_tag", "id": "t", "text": text, "data": {}}


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"nonsense", b'{"type": "threads.list", "params": {}', b"\xff\xfe", b'"\xff"', b"[" * 10_000],
)
def test_what_is_not_json(body: bytes):
    with pytest.raises(InvalidRequestError, match="not valid JSON"):
        parse(body)


@pytest.mark.parametrize("body", [None, 7, "threads.list", [], [create("hi")], True])
def test_what_is_not_an_object(body: Any):
    with pytest.raises(InvalidRequestError, match="JSON object with type and params"):
        parse(body)


@pytest.mark.parametrize(
    "kind", [None, 7, "", "threads", "threads.explode", "THREADS.LIST", ["threads.list"]]
)
def test_an_op_that_does_not_exist_is_told_those_that_do(kind: Any):
    with pytest.raises(InvalidRequestError, match=r"threads\.create, .*threads\.update"):
        parse({"type": kind, "params": {}})
    with pytest.raises(InvalidRequestError):
        parse({"params": {}})


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"type": "threads.list"}, "params"),
        ({"type": "threads.list", "params": []}, "params"),
        ({"type": "threads.list", "params": {"limit": "many"}}, "params.limit"),
        ({"type": "threads.list", "params": {"order": "up"}}, "params.order"),
        ({"type": "threads.get_by_id", "params": {}}, "params.thread_id"),
        ({"type": "threads.get_by_id", "params": {"thread_id": 7}}, "params.thread_id"),
        ({"type": "threads.create", "params": {}}, "params.input"),
        ({"type": "threads.create", "params": {"input": {}}}, "params.input.content"),
        (create({"type": "input_text"}), "params.input.content.0.input_text.text"),
        (create("a", {"type": "video"}), "params.input.content.1"),
        (create("hi", attachments=[7]), "params.input.attachments.0"),
        (create("hi", quoted_text=[]), "params.input.quoted_text"),
        ({**create("hi"), "metadata": 7}, "metadata"),
        (rename(None), "params.title"),
    ],
)
def test_a_wrong_parameter_is_named(body: Any, field: str):
    with pytest.raises(InvalidInputError) as caught:
        parse(body)
    error = caught.value
    assert error.message.startswith(f"{field}: ")
    assert isinstance(error.details, list)
    assert error.details[0]["field"] == field


def test_several_wrong_parameters_are_all_in_the_details_but_not_without_end():
    with pytest.raises(InvalidInputError) as caught:
        parse({"type": "threads.list", "params": {"limit": "x", "order": "y", "after": 1}})
    details: Any = caught.value.details
    assert [each["field"] for each in details] == [
        "params.limit",
        "params.order",
        "params.after",
    ]
    with pytest.raises(InvalidInputError) as caught:
        parse(create("hi", attachments=[0] * 1000))
    assert len(caught.value.details or []) == 20


def test_an_error_does_not_repeat_what_was_sent():
    with pytest.raises(InvalidInputError) as caught:
        parse(create("hi", quoted_text={"secret": "hunter2"}))
    assert "hunter2" not in json.dumps([caught.value.message, caught.value.details])


@pytest.mark.parametrize(
    "body",
    [
        create(),
        create(""),
        create("", "  ", "\n\t\r", "\u00a0\u2003"),
        create("\x00"),
        create("", quoted_text="quoted"),
        {"type": "threads.add_user_message", "params": {"thread_id": "thr_1", "input": message(" ")}},
    ],
)
def test_an_empty_message(body: Any):
    with pytest.raises(InvalidInputError, match="empty"):
        parse(body)


@pytest.mark.parametrize(
    "body", [create(attachments=["atc_1"]), create("", attachments=["atc_1"]), create(tag("x")), create("x")]
)
def test_a_message_that_says_something(body: Any):
    assert said(parse(body))


@pytest.mark.parametrize(
    ("body", "length"),
    [
        (create("x" * 51), 51),
        (create("x" * 30, "y" * 21), 51),
        (create("x", quoted_text="q" * 50), 51),
        (create("x", tag("t" * 50)), 51),
        (create("😀" * 51), 51),
    ],
)
def test_a_message_that_is_too_long(body: Any, length: int):
    with pytest.raises(InvalidInputError, match=f"has {length} characters; at most {LIMIT} are allowed"):
        parse(body)


def test_a_message_of_exactly_the_limit_counted_in_characters():
    assert said(parse(create("😀" * LIMIT))).content[0].text == "😀" * LIMIT
    assert parse(create("x" * 25, quoted_text="q" * 25))
    # What is removed does not count.
    assert parse(create("x" * LIMIT + "\x00" * LIMIT))


def test_too_many_parts_and_attachments():
    parts = [""] * (LIMITS.content_parts - 1) + ["x"]
    assert parse(create(*parts))
    with pytest.raises(InvalidInputError, match=f"at most {LIMITS.content_parts} content parts"):
        parse(create(*parts, ""))
    assert parse(create("x", attachments=["a"] * LIMITS.attachments))
    with pytest.raises(InvalidInputError, match=f"at most {LIMITS.attachments} attachments"):
        parse(create("x", attachments=["a"] * (LIMITS.attachments + 1)))


def test_nul_is_removed_and_nothing_else():
    request = said(parse(create("\x00a\x00 b\x01\n", tag("t\x00"), quoted_text="\x00q")))
    assert [part.text for part in request.content] == ["a b\x01\n", "t"]
    assert request.quoted_text == "q"


@pytest.mark.parametrize(
    ("title", "kept"),
    [
        ("Plans", "Plans"),
        ("  Plans \n for\tMay ", "Plans for May"),
        ("a\x00b", "ab"),
        ("x" * MAX_TITLE_CHARS, "x" * MAX_TITLE_CHARS),
        (" " * 300 + "x", "x"),
    ],
)
def test_titles_are_tidied(title: str, kept: str):
    request = parse(rename(title))
    assert isinstance(request, ThreadsUpdateReq)
    assert request.params.title == kept


@pytest.mark.parametrize("title", ["", " ", "\x00", "\n\t", "x" * (MAX_TITLE_CHARS + 1)])
def test_what_is_not_a_title(title: str):
    with pytest.raises(InvalidInputError, match=f"A title has 1 to {MAX_TITLE_CHARS} characters"):
        parse(rename(title))


def test_the_ops_are_those_of_the_protocol():
    members = get_args(get_args(ChatKitReq)[0])
    assert len(OPERATIONS) == len(members) == 16
    assert {"threads.create", "items.feedback", "attachments.create", "input.transcribe"} <= OPERATIONS


def test_a_request_keeps_its_metadata():
    assert parse({**create("hi"), "metadata": {"page": "/home"}}).metadata == {"page": "/home"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["input", "thread_id", "content", "title", "x"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(st.sampled_from(sorted(OPERATIONS)), json_values, json_values)
def test_no_json_is_an_unexpected_error(op: str, params: Any, metadata: Any):
    try:
        parse({"type": op, "params": params, "metadata": metadata})
    except (InvalidRequestError, InvalidInputError):
        # Any other error fails the test.
        return


@given(st.binary(max_size=60))
def test_no_bytes_are_an_unexpected_error(body: bytes):
    with pytest.raises(InvalidRequestError):
        parse(body)


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": [value]}
    return value


@pytest.mark.row("F6")
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"metadata": {str(number): "x" for number in range(30_000)}},
            "metadata may have at most 16000 characters",
        ),
        ({"metadata": {"a": nested(40)}}, "metadata may have at most 64 levels"),
    ],
)
def test_metadata_has_limits(change: dict[str, Any], reason: str) -> None:
    request = {"type": "threads.list", "params": {}}
    assert parse(json.dumps({**request, "metadata": {"a": nested(20)}}).encode())
    with pytest.raises(InvalidInputError, match=reason):
        parse(json.dumps({**request, **change}).encode())


@pytest.mark.row("F6")
def test_values_of_any_form_have_limits() -> None:
    action = {
        "type": "threads.custom_action",
        "params": {"thread_id": "t", "action": {"type": "a", "payload": nested(40)}},
    }
    output = {"type": "threads.add_client_tool_output", "params": {"thread_id": "t", "result": nested(40)}}
    for request in (action, output):
        with pytest.raises(InvalidInputError, match="at most 64 levels"):
            parse(json.dumps(request).encode())


@pytest.mark.row("F6")
def test_tags_have_limits() -> None:
    assert parse(create("x", *[tag("y")] * 24))
    limits = RequestLimits(tags=2)
    body = json.dumps(create("x", tag("y"), tag("y"), tag("y"))).encode()
    with pytest.raises(InvalidInputError, match="at most 2 tags"):
        parse_request(body, limits)


@pytest.mark.row("F6")
@pytest.mark.parametrize("title", ["\u202eabc", "a\x1bb\x07c", "a\u2066bc"])
def test_titles_have_no_characters_that_change_those_around_them(title: str) -> None:
    body = json.dumps({"type": "threads.update", "params": {"thread_id": "t", "title": title}}).encode()
    request: Any = parse(body)
    assert request.params.title == "abc"
