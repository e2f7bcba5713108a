"""Error answers of providers, with their statuses, bodies and headers."""

from collections.abc import Callable, Mapping
from typing import Any

from backchannel.testing.endpoints.oddity import Context, odd
from backchannel.testing.endpoints.refusals import refusal
from backchannel.testing.endpoints.rules import APIS, violation
from backchannel.testing.endpoints.tokens import WORDINGS
from backchannel.testing.endpoints.wire import Reply, json_reply

OPENAI = "https://platform.openai.com/docs/guides/error-codes"
ANTHROPIC = "https://docs.anthropic.com/en/api/errors"
GEMINI = "https://ai.google.dev/gemini-api/docs/troubleshooting"
DEEPSEEK = "https://api-docs.deepseek.com/quick_start/error_codes"
OPENROUTER = "https://openrouter.ai/docs/api/reference/errors-and-debugging"
AZURE = "https://learn.microsoft.com/azure/ai-services/openai/reference"
NGINX = (
    "<html>\r\n<head><title>{0}</title></head>\r\n<body>\r\n<center><h1>{0}</h1></center>\r\n"
    "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)
LIMIT, TOKENS = 8192, 9000


def _openai(message: str, kind: str | None = None, code: str | None = None, param: str | None = None) -> Any:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _anthropic(message: str, kind: str) -> Any:
    return {
        "type": "error",
        "error": {"type": kind, "message": message},
        "request_id": "req_011CUvdPgnreuT3Dx",
    }


def _gemini(message: str, code: int, status: str, *details: Any) -> Any:
    error = {"code": code, "message": message, "status": status}
    return [{"error": {**error, "details": list(details)} if details else error}]


_FILTERED: Any = {
    "error": {
        "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. "
        "Please modify your prompt and retry. To learn more about our content filtering policies please read our "
        "documentation: https://go.microsoft.com/fwlink/?linkid=2198766",
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {
            "code": "ResponsibleAIPolicyViolation",
            "content_filter_result": {
                "hate": {"filtered": False, "severity": "safe"},
                "self_harm": {"filtered": False, "severity": "safe"},
                "sexual": {"filtered": False, "severity": "safe"},
                "violence": {"filtered": True, "severity": "medium"},
            },
        },
    }
}
_QUOTA = (
    "You exceeded your current quota, please check your plan and billing details. For more information on this error, "
    "read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors."
)
_RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "21s"}

JSON_ERRORS: Mapping[str, tuple[int, object, str, Mapping[str, str]]] = {
    "400_azure_content_filter": (400, _FILTERED, "compl-ai/compl-ai#20", {}),
    "400_openai_unsupported": (
        400,
        _openai(
            "Unsupported parameter: 'temperature' is not supported with this model.",
            "invalid_request_error",
            "unsupported_parameter",
            "temperature",
        ),
        "thingsboard/thingsboard#15256",
        {},
    ),
    "400_vllm_old": (
        400,
        {
            "object": "error",
            "message": "When using `tool_choice`, `tools` must be set.",
            "type": "BadRequestError",
            "param": None,
            "code": 400,
        },
        "BerriAI/litellm#6228",
        {},
    ),
    "400_litellm": (
        400,
        _openai(
            "litellm.BadRequestError: MistralException - Function name was a.b but must be a-z, A-Z, 0-9, or contain "
            "underscores and dashes, with a maximum length of 64.. Received Model Group=mistral/mistral-large-latest\n"
            "Available Model Group Fallbacks=None",
            "invalid_request_error",
            "400",
        ),
        "Kochava-Studios/witsy#164",
        {},
    ),
    "400_openrouter": (
        400,
        {
            "error": {
                "message": "Provider returned error",
                "code": 400,
                "metadata": {
                    "raw": '{"object":"error","message":"Unexpected role \'tool\' after role \'user\'","code":"3230"}',
                    "provider_name": "Mistral",
                },
            },
            "user_id": "user_1",
        },
        "charmbracelet/crush#279",
        {},
    ),
    "401_openai": (
        401,
        _openai(
            "Incorrect API key provided: sk-false. You can find your API key at "
            "https://platform.openai.com/account/api-keys.",
            "invalid_request_error",
            "invalid_api_key",
        ),
        "easychen/openai-api-proxy#33",
        {},
    ),
    "401_anthropic": (401, _anthropic("invalid x-api-key", "authentication_error"), ANTHROPIC, {}),
    "402_deepseek": (
        402,
        _openai("Insufficient Balance", "unknown_error", "invalid_request_error"),
        DEEPSEEK,
        {},
    ),
    "402_openrouter": (402, {"error": {"message": "Insufficient credits", "code": 402}}, OPENROUTER, {}),
    "403_openai": (
        403,
        _openai(
            "Country, region, or territory not supported",
            "request_forbidden",
            "unsupported_country_region_territory",
        ),
        OPENAI,
        {},
    ),
    "404_openai": (
        404,
        _openai(
            "The model `m` does not exist or you do not have access to it.",
            "invalid_request_error",
            "model_not_found",
        ),
        OPENAI,
        {},
    ),
    "404_azure": (
        404,
        {
            "error": {
                "code": "DeploymentNotFound",
                "message": "The API deployment for this resource does not exist.",
            }
        },
        AZURE,
        {},
    ),
    "404_ollama": (
        404,
        _openai('model "m" not found, try pulling it first', "api_error"),
        "https://github.com/ollama/ollama/blob/main/docs/openai.md",
        {},
    ),
    "404_vllm": (
        404,
        {
            "object": "error",
            "message": "The model `m` does not exist.",
            "type": "NotFoundError",
            "param": None,
            "code": 404,
        },
        "https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html",
        {},
    ),
    "408_azure": (408, {"error": {"code": "Timeout", "message": "The operation was timeout."}}, AZURE, {}),
    "409_openai": (
        409,
        _openai("Another process is currently operating on this conversation.", "invalid_request_error"),
        OPENAI,
        {},
    ),
    "413_anthropic": (
        413,
        _anthropic("Request exceeds the maximum size", "request_too_large"),
        ANTHROPIC,
        {},
    ),
    "422_mistral": (
        422,
        {
            "object": "error",
            "message": {
                "detail": [
                    {
                        "type": "extra_forbidden",
                        "loc": ["body", "metadata"],
                        "msg": "Extra inputs are not permitted",
                        "input": {"trace": "1"},
                    }
                ]
            },
            "type": "invalid_request_error",
            "param": None,
            "code": None,
        },
        "OpenHands/OpenHands-CLI#83",
        {},
    ),
    "429_openai": (
        429,
        _openai(
            "Rate limit reached for gpt-5 on tokens per min (TPM): Limit 30000, Used 29000, Requested 2000. Please try "
            "again in 2s.",
            "tokens",
            "rate_limit_exceeded",
        ),
        OPENAI,
        {"retry-after": "2", "x-ratelimit-remaining-tokens": "0"},
    ),
    "429_insufficient_quota": (
        429,
        _openai(_QUOTA, "insufficient_quota", "insufficient_quota"),
        "langchain-ai/langchainjs#1929",
        {},
    ),
    "429_mistral": (
        429,
        {"message": "Requests rate limit exceeded"},
        "https://docs.mistral.ai/deployment/ai-studio/tier",
        {},
    ),
    "429_gemini": (
        429,
        _gemini("You exceeded your current quota.", 429, "RESOURCE_EXHAUSTED", _RETRY_INFO),
        GEMINI,
        {},
    ),
    "500_openai": (
        500,
        _openai("The server had an error while processing your request. Sorry about that!", "server_error"),
        OPENAI,
        {},
    ),
    "500_llama_cpp": (
        500,
        {
            "error": {
                "code": 500,
                "message": "Error: Jinja Exception: Conversation roles must alternate "
                "user/assistant/user/assistant/...",
                "type": "server_error",
            }
        },
        "idiap/sdialog#122",
        {},
    ),
    "503_gemini": (
        503,
        _gemini("The model is overloaded. Please try again later.", 503, "UNAVAILABLE"),
        GEMINI,
        {},
    ),
    "503_llama_cpp": (
        503,
        {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}},
        "https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md",
        {},
    ),
    "529_anthropic": (529, _anthropic("Overloaded", "overloaded_error"), ANTHROPIC, {}),
    "400_openrouter_context_length": (
        400,
        {
            "error": {
                "message": "This endpoint's maximum context length is 8192 tokens. However, you requested about 9000 "
                'tokens (9000 of text input). Please reduce the length of either one, or use the "middle-out" '
                "transform to compress your prompt automatically.",
                "code": 400,
                "metadata": {"provider_name": None},
            }
        },
        "topoteretes/cognee#1061",
        {},
    ),
    "400_anthropic_max_tokens": (
        400,
        _anthropic(
            "input length and `max_tokens` exceed context limit: 178959 + 64000 > 200000, decrease input length or "
            "`max_tokens` and try again",
            "invalid_request_error",
        ),
        "docker/docker-agent#569",
        {},
    ),
}
HTML_ERRORS = {
    413: "413 Request Entity Too Large",
    502: "502 Bad Gateway",
    504: "504 Gateway Time-out",
}


def _json(status: int, body: object, headers: Mapping[str, str]) -> Callable[[Context], Reply]:
    def build(context: Context) -> Reply:
        return json_reply(body, status, headers)

    return build


def _html(status: int, title: str) -> Callable[[Context], Reply]:
    def build(context: Context) -> Reply:
        return Reply([NGINX.format(title).encode()], status, "text/html")

    return build


def _context_length(profile: Any) -> Callable[[Context], Reply]:
    def build(context: Context) -> Reply:
        wording = WORDINGS[profile]
        found = violation("context_length", wording, {"tokens": TOKENS, "limit": LIMIT})
        return refusal(profile, found, context.request.body, LIMIT)

    return build


def _name(key: str) -> str:
    """`429_openai` is the oddity `http_429_openai`."""
    return f"http_{key}"


for _key, (_status, _body, _source, _headers) in JSON_ERRORS.items():
    odd(_source, name=_name(_key), description=f"Status {_status}: {_key[4:].replace('_', ' ')}.")(
        _json(_status, _body, _headers)
    )
for _code, _title in HTML_ERRORS.items():
    odd(
        "https://nginx.org/en/docs/http/ngx_http_proxy_module.html",
        name=_name(f"{_code}_html"),
        description=f"Status {_code}: an HTML page of nginx.",
    )(_html(_code, _title))
for _profile in APIS:
    if _profile != "strictest":
        odd(
            WORDINGS[_profile].source,
            name=_name(f"400_context_length_{_profile.replace('-', '_').replace('.', '_')}"),
            description=f"Status 400: the request has too many tokens, as {_profile} reports it.",
        )(_context_length(_profile))
