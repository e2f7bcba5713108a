"""The OpenAPI document: what every endpoint can answer is said in one place."""

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI

API, AUTH = "/api/", "/auth/"
_METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}

_ERROR: dict[str, Any] = {
    "type": "object",
    "title": "Error",
    "required": ["code", "message", "request_id"],
    "properties": {
        "code": {"type": "string", "description": "Stable; for programs."},
        "message": {"type": "string", "description": "For people."},
        "request_id": {"type": "string"},
        "details": {"description": "What is wrong with which field, or more about the conflict."},
        "debug": {"type": "string", "description": "The exception; only with BACKCHANNEL_DEBUG."},
    },
}

_DESCRIPTIONS = {
    400: "The request is malformed.",
    401: "Missing or invalid credentials.",
    403: "The caller, or the page that it comes from, may not do this.",
    404: "It does not exist, or belongs to somebody else.",
    408: "The request took too long to arrive.",
    409: "It conflicts with the present state.",
    413: "The request body is too large.",
    415: "The request body is not JSON.",
    422: "A value is missing or invalid.",
    429: "A limit is reached; see `Retry-After`.",
    500: "An unexpected error, which is logged with the id of the request.",
    503: "Not available at present; see `Retry-After`.",
}

_ALWAYS = (400, 401, 403, 422, 429, 500, 503)
_OF_LOGINS = (401, 403, 429, 500, 503)
_OF_WRITES = (404, 408, 409, 413, 415)


def document_errors(app: FastAPI) -> None:
    """Let the OpenAPI document of an application say which errors its endpoints below `/api/` answer with.

    What an endpoint says of a status itself is kept, except that a 422 always has the form of the server's errors.
    """
    original: Callable[[], dict[str, Any]] = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = original()
            components: dict[str, Any] = document.setdefault("components", {})
            components.setdefault("schemas", {})["Error"] = _ERROR
            for name in ("HTTPValidationError", "ValidationError"):
                components["schemas"].pop(name, None)
            components["responses"] = {_name(status): _response(status) for status in _DESCRIPTIONS}
            for path, operations in document["paths"].items():
                for method, operation in operations.items():
                    if method in _METHODS:
                        _add(path, method, operation)
        return app.openapi_schema or {}

    app.openapi = openapi


def _add(path: str, method: str, operation: dict[str, Any]) -> None:
    responses: dict[str, Any] = operation["responses"]
    if not path.startswith(API):
        if path == "/health/ready":
            responses.setdefault("503", {"description": "Not ready."})
        if path.startswith(AUTH):
            for status in _OF_LOGINS:
                responses.setdefault(str(status), {"$ref": f"#/components/responses/{_name(status)}"})
        return
    statuses = {*_ALWAYS, *(_OF_WRITES if method != "get" else ())}
    if "{" in path or any(each["name"] == "after" for each in operation.get("parameters", ())):
        # Of a page after something that is not there, too.
        statuses.add(404)
    if _is_generated(responses.get("422")):
        del responses["422"]
    for status in sorted(statuses):
        responses.setdefault(str(status), {"$ref": f"#/components/responses/{_name(status)}"})


def _is_generated(response: Mapping[str, Any] | None) -> bool:
    """Whether FastAPI has added a response, in a form that the server does not use."""
    return response is not None and "HTTPValidationError" in str(response.get("content"))


def _name(status: int) -> str:
    return f"Error{status}"


def _response(status: int) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {"description": _DESCRIPTIONS[status], "content": content}
