"""`POST /api/chatkit/stream`: the plain API, which takes a message and streams its answer as plain events."""

from typing import Any, Literal, Self

from chatkit.types import (
    InferenceOptions,
    ThreadAddUserMessageParams,
    ThreadCreateParams,
    ThreadsAddUserMessageReq,
    ThreadsCreateReq,
    UserMessageInput,
    UserMessageTextContent,
)
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from starlette.responses import StreamingResponse

from backchannel.chat.protocol.requests import check
from backchannel.http.current_context import ChatContext
from backchannel.http.input_limits import request_limits
from backchannel.http.json_body import JsonRoute
from backchannel.http.services import Services
from backchannel.http.streaming import PLAIN_EVENTS, RUN_HEADERS, check_content_type, run_response
from backchannel.sse import HEARTBEAT_HEADER

_EXAMPLE: dict[str, Any] = {
    "input": {"type": "user_message", "content": [{"type": "text", "text": "What's due today?"}]}
}
_EXAMPLE_ANSWER = """\
event: conversation.item.updated
data: {"type":"conversation.item.updated","item_id":"msg_01","delta":{"type":"text","content_index":0,"text":"Two "}}
id: run_01:6

event: done
data: {"type":"done","run_id":"run_01","status":"completed"}
id: run_01:9

: end
"""


_NO_CONTENT = 'must be a list with at least one {"type": "text", "text": "…"}'


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ThreadReference(_Strict):
    """The conversation of the message.

    Attributes:
        id: The id of one of the caller's conversations; `None` for a new one.
        metadata: Request metadata for the server's agents (`RequestContext.metadata`).
    """

    id: str | None = Field(
        default=None, min_length=1, description="One of the caller's conversations; a new one by default."
    )
    metadata: dict[str, Any] = Field(
        default_factory=dict[str, Any], description="Request metadata for the server's agents."
    )


class MessageText(_Strict):
    """A text part of the message."""

    type: Literal["text"]
    text: str

    @field_validator("type", mode="before")
    @classmethod
    def _is_text(cls, value: object) -> object:
        if value != "text":
            raise ValueError('must be "text": only text can be sent here')
        return value


class MessageInput(_Strict):
    """The message."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "anyOf": [
                {"properties": {"content": {"minItems": 1}}},
                {"properties": {"attachments": {"minItems": 1}}, "required": ["attachments"]},
            ]
        },
    )

    type: Literal["user_message"]
    content: list[MessageText] = Field(description="The parts of the message, in order.")
    attachments: list[str] = Field(
        default_factory=list[str],
        description="The ids of uploaded files; with them, the content may be empty.",
    )

    @field_validator("type", mode="before")
    @classmethod
    def _is_message(cls, value: object) -> object:
        if value != "user_message":
            raise ValueError('must be "user_message"; for everything else there is POST /api/chatkit')
        return value

    @field_validator("content", mode="before")
    @classmethod
    def _is_list(cls, value: object) -> object:
        if not isinstance(value, list):
            raise ValueError(_NO_CONTENT)
        return value  # pyright: ignore[reportUnknownVariableType]

    @model_validator(mode="after")
    def _has_content(self) -> Self:
        if not self.content and not self.attachments:
            raise ValueError(_NO_CONTENT)
        return self


class StreamRequest(_Strict):
    """A message to the assistant."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    thread: ThreadReference | None = None
    input: MessageInput

    def to_chatkit(self) -> ThreadsCreateReq | ThreadsAddUserMessageReq:
        """The equivalent ChatKit request."""
        message = UserMessageInput(
            content=[UserMessageTextContent(text=part.text) for part in self.input.content],
            attachments=self.input.attachments,
            inference_options=InferenceOptions(),
        )
        thread = self.thread or ThreadReference()
        if thread.id is None:
            return ThreadsCreateReq(metadata=thread.metadata, params=ThreadCreateParams(input=message))
        params = ThreadAddUserMessageParams(input=message, thread_id=thread.id)
        return ThreadsAddUserMessageReq(metadata=thread.metadata, params=params)


class ErrorResponse(BaseModel):
    """Why a request was rejected. It has changed nothing."""

    code: str
    message: str
    request_id: str
    details: Any = None


_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": PLAIN_EVENTS,
        "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _EXAMPLE_ANSWER}},
        "headers": {
            "X-Run-Id": {"description": "The run that answers.", "schema": {"type": "string"}},
            HEARTBEAT_HEADER: {
                "description": "Seconds between the comments that are sent while there are no events.",
                "schema": {"type": "number"},
            },
        },
    },
    422: {"description": "A field is missing or invalid; the message names it.", "model": ErrorResponse},
    "default": {"description": "The request was rejected.", "model": ErrorResponse},
}


def plain_router(services: Services) -> APIRouter:
    """The router of the plain API. Its streams are resumed by `GET /chatkit/runs/{id}/events?format=plain`."""
    router = APIRouter(tags=["plain"], route_class=JsonRoute)
    limits = request_limits(services.settings)

    @router.post(
        "/chatkit/stream",
        response_class=StreamingResponse,
        responses=_RESPONSES,
        dependencies=[Depends(check_content_type)],
        openapi_extra={"parameters": RUN_HEADERS},
    )
    async def stream_answer(  # pyright: ignore[reportUnusedFunction]
        request: Request, message: StreamRequest, context: ChatContext
    ) -> Response:
        """Send a message to a new conversation or to one of the caller's, and stream the answer.

        The run continues if the connection is lost. To resume the stream, use
        `GET /api/chatkit/runs/{id}/events?format=plain`, or the same POST with `Last-Event-ID`.
        """
        chatkit_request = message.to_chatkit()
        check(chatkit_request, limits)
        return await run_response(services, request, chatkit_request, context, plain=True)

    return router
