"""The rules on parameters, limits and data of providers of the Chat Completions API."""

from backchannel.testing.endpoints import chat_content as checks
from backchannel.testing.endpoints.chat_call_rules import openai
from backchannel.testing.endpoints.rules import Rule, Wording

PARAMETER_RULES = (
    Rule(
        "array_too_long",
        "chat",
        checks.arrays_too_long,
        openai(
            Wording(
                "Invalid '{place}': array too long. Expected an array with maximum length {limit}, but got an array "
                "with length {length} instead.",
                "openai/openai-dotnet#317",
                "{place}",
                "array_above_max_length",
            )
        ),
        "2048 messages (obot-platform/obot#1009), 128 tools (vishalmysore/Tools4AI#16), 128 calls in a message.",
    ),
    Rule(
        "unknown_field",
        "chat",
        checks.unknown_fields,
        {
            "mistral": Wording(
                '{{"detail":[{{"type":"extra_forbidden","loc":{location},"msg":"Extra inputs are not permitted"}}]}}',
                "charmbracelet/crush#1590",
                status=422,
            )
        },
    ),
    Rule(
        "tools_empty",
        "chat",
        checks.tools_empty,
        openai(
            Wording(
                "Invalid 'tools': empty array. Expected an array with minimum length 1, but got an empty array "
                "instead.",
                "continuedev/continue#3403",
                "tools",
                "empty_array",
            )
        )
        | {
            "vllm": Wording("`tools` must not be an empty array.", "vllm-project/vllm#39780", code=400),
            "deepseek": Wording(
                "Invalid 'tools': empty array. Expected an array with minimum length 1, but got an empty array "
                "instead.",
                "runebookai/tome#87",
            ),
        },
    ),
    Rule(
        "choice_without_tools",
        "chat",
        checks.choice_without_tools,
        openai(
            Wording(
                "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.",
                "writer/writer-framework#1013",
                "tool_choice",
            )
        )
        | {
            "vllm": Wording(
                "When using `tool_choice`, `tools` must be set.", "BerriAI/litellm#6228", code=400
            )
        },
    ),
    Rule(
        "parallel_without_tools",
        "chat",
        checks.parallel_without_tools,
        openai(
            Wording(
                "Invalid value for 'parallel_tool_calls': 'parallel_tool_calls' is only allowed when 'tools' are "
                "specified.",
                "openai/swarm#30",
                "parallel_tool_calls",
            )
        ),
    ),
    Rule(
        "thought_signature_missing",
        "chat",
        checks.thought_signature_missing,
        {
            "gemini": Wording(
                "Function call is missing a thought_signature in functionCall parts. This is required for tools to "
                "work correctly, and missing thought_signature may lead to degraded model performance. Additional "
                "data, function call `default_api:{name}` , position {position}. Please refer to "
                "https://ai.google.dev/gemini-api/docs/thought-signatures for more details.",
                "TokenRhythm/opensquilla#225",
            )
        },
        "Only models whose name has `gemini-3`.",
    ),
    Rule(
        "reasoning_missing_in_loop",
        "chat",
        checks.reasoning_missing_in_loop,
        {
            "deepseek": Wording(
                "Missing `reasoning_content` field in the assistant message at message index {index}. For more "
                "information, please refer to https://api-docs.deepseek.com/guides/thinking_mode#tool-calls",
                "hotovo/aider-desk#529",
            )
        },
        "Only `deepseek-reasoner`, and models before V4 with `thinking`. That R1 of January 2025 refused "
        "`reasoning_content` is not checked: later models take it.",
    ),
    Rule(
        "reasoning_missing",
        "chat",
        checks.reasoning_missing,
        {
            "deepseek": Wording(
                "The `reasoning_content` in the thinking mode must be passed back to the API.",
                "mnfst/modelparams.dev#29",
            )
        },
        "Only models whose name has `deepseek-v4`, unless `thinking` is disabled. danny-avila/LibreChat#12836 "
        "reports it for the second turn; whether a turn without tools needs it too is not clear, and not checked.",
    ),
    Rule(
        "thinking_without_signature",
        "chat",
        checks.thinking_without_signature,
        {
            "anthropic": Wording(
                "messages.{index}.content.{number}.thinking.signature: Field required",
                "lbjlaq/Antigravity-Manager#1650",
            )
        },
    ),
)
