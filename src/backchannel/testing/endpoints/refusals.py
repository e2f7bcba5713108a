"""The error bodies with which the APIs refuse requests."""

import json

from backchannel.testing.endpoints.rules import Json, Profile, Violation
from backchannel.testing.endpoints.tokens import tokens_of
from backchannel.testing.endpoints.wire import Reply, json_reply

REFUSED = "invalid_request_error"


def refusal(profile: Profile, found: Violation, body: Json, limit: int | None = None) -> Reply:
    """The answer of an API to a request that breaks a rule.

    Args:
        profile: The API.
        found: The rule that the request breaks.
        body: The request.
        limit: The tokens for which the model has room, which llama.cpp reports.
    """
    if profile == "gemini":
        error = {"code": found.status, "message": found.message, "status": "INVALID_ARGUMENT"}
        return json_reply([{"error": error}], found.status)
    if profile == "anthropic":
        error = {"type": REFUSED, "message": found.message}
        return json_reply(
            {"type": "error", "error": error, "request_id": "req_011CUvdPgnreuT3DxJPFAoqt"}, found.status
        )
    if profile == "mistral":
        return json_reply(_mistral(found), found.status)
    return json_reply({"error": _error(profile, found, body, limit)}, found.status)


def _mistral(found: Violation) -> Json:
    message: object = found.message
    if found.status == 422:
        message = json.loads(found.message)
    return {
        "object": "error",
        "message": message,
        "type": found.type or REFUSED,
        "param": None,
        "code": found.code,
    }


def _error(profile: Profile, found: Violation, body: Json, limit: int | None) -> Json:
    if profile == "vllm":
        return {"message": found.message, "type": "BadRequestError", "param": None, "code": found.code}
    if profile == "deepseek":
        return {"message": found.message, "type": REFUSED, "param": None, "code": REFUSED}
    if profile == "llama.cpp":
        error: Json = {"code": found.code, "message": found.message, "type": found.type}
        if found.rule == "context_length":
            error |= {"n_prompt_tokens": tokens_of(body), "n_ctx": limit}
        return error
    return {
        "message": found.message,
        "type": found.type or REFUSED,
        "param": found.param,
        "code": found.code,
    }
