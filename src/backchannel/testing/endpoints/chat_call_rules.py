"""The rules on tool calls of the Chat Completions API, with the words of each provider."""

from backchannel.testing.endpoints import chat_calls as checks
from backchannel.testing.endpoints.rules import Rule, Wording

ORDER = "invalid_request_message_order"


def openai(wording: Wording) -> dict[str, Wording]:
    """A wording of OpenAI, which Azure passes on."""
    return {"openai-chat": wording, "azure": wording}


CALL_RULES = (
    Rule(
        "call_without_output",
        "chat",
        checks.calls_without_output,
        openai(
            Wording(
                "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
                "'tool_call_id'. The following tool_call_ids did not have response messages: {ids}",
                "aliasrobotics/cai#111",
                "messages.[{index}].role",
            )
        )
        | {
            "deepseek": Wording(
                "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
                "'tool_call_id'. (insufficient tool messages following tool_calls message)",
                "langgenius/dify#32222",
            ),
            "gemini": Wording(
                "Please ensure that the number of function response parts is equal to the number of function "
                "call parts of the function call turn.",
                "microsoft/vscode#299295",
            ),
            "anthropic": Wording(
                "messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                "{ids}. Each `tool_use` block must have a corresponding `tool_result` block in the next message.",
                "anthropics/claude-code#8210",
            ),
            "mistral": Wording(
                "Not the same number of function calls and responses",
                "partITech/php-mistral#57",
                code="3230",
                type=ORDER,
            ),
        },
        "vLLM and llama.cpp leave it to the chat template; most templates do not check it.",
    ),
    Rule(
        "output_without_call",
        "chat",
        checks.outputs_without_call,
        openai(
            Wording(
                "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
                "'tool_calls'.",
                "https://community.openai.com/t/error-for-messages-assistant-tool-calls-id-object/626732",
                "messages.[{index}].role",
            )
        )
        | {
            "deepseek": Wording(
                "Messages with role 'tool' must be a response to a preceding message with 'tool_calls'",
                "qwersyk/Newelle#425",
            ),
            "gemini": Wording(
                "Please ensure that function response turn comes immediately after a function call turn.",
                "BerriAI/litellm#26755",
            ),
            "anthropic": Wording(
                "messages.{index}.content.0: unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each "
                "`tool_result` block must have a corresponding `tool_use` block in the previous message.",
                "anthropics/claude-code#18947",
            ),
            "mistral": Wording(
                "Unexpected role 'tool' after role '{previous}'",
                "charmbracelet/crush#279",
                code="3230",
                type=ORDER,
            ),
        },
    ),
    Rule(
        "repeated_output",
        "chat",
        checks.repeated_outputs,
        openai(
            Wording(
                "Invalid parameter: Duplicate value for 'tool_call_id' of '{id}', in messages[{first}] and "
                "messages[{index}].",
                "agno-agi/agno#5116",
                "messages.[{index}].tool_call_id",
            )
        )
        | {
            "mistral": Wording(
                "Not the same number of function calls and responses",
                "partITech/php-mistral#57",
                code="3230",
                type=ORDER,
            )
        },
    ),
    Rule(
        "repeated_call_id",
        "chat",
        checks.repeated_call_ids,
        {
            "anthropic": Wording(
                "messages.{index}.content.{number}: `tool_use` ids must be unique", "trycua/cua#524"
            )
        },
        "OpenAI takes one id again in a later message, and so does not notice `call_0` in every turn.",
    ),
    Rule(
        "call_id_missing",
        "chat",
        checks.call_ids_missing,
        openai(
            Wording(
                "Invalid 'messages[{index}].tool_calls[{number}].id': empty string. Expected a string with "
                "minimum length 1, but got an empty string instead.",
                "continuedev/continue#11685",
                "messages[{index}].tool_calls[{number}].id",
                "empty_string",
            )
        ),
    ),
    Rule(
        "call_id_too_long",
        "chat",
        checks.call_ids_too_long,
        openai(
            Wording(
                "Invalid 'messages[{index}].tool_calls[{number}].id': string too long. Expected a string with "
                "maximum length 40, but got a string with length {length} instead.",
                "vercel/ai#5171",
                "messages[{index}].tool_calls[{number}].id",
                "string_above_max_length",
            )
        ),
        "40 is reported up to February 2026 (anomalyco/opencode#12653); openclaw/openclaw#875 saw 64 too.",
    ),
    Rule(
        "call_id_format",
        "chat",
        checks.call_ids_not_of_nine_characters,
        {
            "mistral": Wording(
                "Tool call id was {id} but must be a-z, A-Z, 0-9, with a length of 9.",
                "editor-code-assistant/eca#233",
                code="3280",
                type="invalid_function_call",
            )
        },
        "The SDK sends the ids that a model made, so ids of other models are refused here.",
    ),
    Rule(
        "call_id_characters",
        "chat",
        checks.call_ids_with_other_characters,
        {
            "anthropic": Wording(
                "messages.{index}.content.{number}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'",
                "BlockRunAI/ClawRouter#17",
            )
        },
    ),
    Rule(
        "name_missing",
        "chat",
        checks.names_missing,
        openai(
            Wording(
                "Invalid '{place}': empty string. Expected a string with minimum length 1, but got an empty "
                "string instead.",
                "continuedev/continue#11645",
                "{place}",
                "empty_string",
            )
        ),
    ),
    Rule(
        "name_characters",
        "chat",
        checks.names_with_other_characters,
        openai(
            Wording(
                "Invalid '{place}': string does not match pattern. Expected a string that matches the pattern "
                "'^[a-zA-Z0-9_-]+$'.",
                "mcp-use/mcp-use#94",
                "{place}",
                "invalid_value",
            )
        )
        | {
            "mistral": Wording(
                "Function name was {name} but must be a-z, A-Z, 0-9, or contain underscores and dashes, with a "
                "maximum length of 64.",
                "Kochava-Studios/witsy#164",
                code="3280",
                type="invalid_function_call",
            )
        },
        "A name in the history need not be among the tools of the request.",
    ),
    Rule(
        "name_too_long",
        "chat",
        checks.names_too_long,
        openai(
            Wording(
                "Invalid '{place}': string too long. Expected a string with maximum length 64, but got a string "
                "with length {length} instead.",
                "archestra-ai/archestra#401",
                "{place}",
                "string_above_max_length",
            )
        )
        | {
            "mistral": Wording(
                "Function name was {name} but must be a-z, A-Z, 0-9, or contain underscores and dashes, with a "
                "maximum length of 64.",
                "Kochava-Studios/witsy#164",
                code="3280",
                type="invalid_function_call",
            )
        },
    ),
    Rule(
        "name_of_tool_use",
        "chat",
        checks.names_that_anthropic_refuses,
        {
            "anthropic": Wording(
                "{place}: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'",
                "home-assistant/core#147760",
            )
        },
        "Reports up to March 2025 have 64 characters (cyanheads/atlas-mcp-server#14), later ones 128.",
    ),
    Rule(
        "name_of_tool_repeated",
        "chat",
        checks.names_of_tools_repeated,
        {"anthropic": Wording("tools: Tool names must be unique.", "danny-avila/LibreChat#13162")},
    ),
    Rule(
        "name_of_declaration",
        "chat",
        checks.names_that_gemini_refuses,
        {
            "gemini": Wording(
                "* GenerateContentRequest.tools[0].function_declarations[{number}].name: Invalid function name. "
                "Must start with a letter or an underscore. Must be alphameric (a-z, A-Z, 0-9), underscores (_), "
                "dots (.), colons (:), or dashes (-), with a maximum length of 64.\n",
                "google-gemini/gemini-cli#9535",
            )
        },
    ),
    Rule(
        "arguments_no_string",
        "chat",
        checks.arguments_no_string,
        openai(
            Wording(
                "Invalid type for 'messages[{index}].tool_calls[{number}].function.arguments': expected a "
                "string, but got {kind} instead.",
                "https://platform.openai.com/docs/api-reference/chat/create",
                "messages[{index}].tool_calls[{number}].function.arguments",
                "invalid_type",
            )
        ),
    ),
    Rule(
        "arguments_no_json",
        "chat",
        checks.arguments_no_json,
        {
            "vllm": Wording("{error}", "vllm-project/vllm#43995", code=400),
            "llama.cpp": Wording(
                "Failed to parse tool call arguments as JSON: {error}",
                "OpenHands/software-agent-sdk#2887",
                status=500,
                code=500,
                type="server_error",
            ),
        },
        "vLLM passes empty arguments on, and since vllm-project/vllm#48922 (July 2026) malformed ones too; older "
        "servers are about for years.",
    ),
    Rule(
        "arguments_no_object",
        "chat",
        checks.arguments_no_object,
        {
            "anthropic": Wording(
                "messages.{index}.content.{number}.tool_use.input: Input should be a valid dictionary",
                "CopilotKit/CopilotKit#3300",
            )
        },
    ),
)
