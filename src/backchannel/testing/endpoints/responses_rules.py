"""The rules of the Responses API, in the words of OpenAI, which Azure passes on."""

from backchannel.testing.endpoints import responses_checks as checks
from backchannel.testing.endpoints.chat_content_rules import JSON_HINT
from backchannel.testing.endpoints.rules import Rule, Wording


def _both(
    message: str, source: str, param: str | None = "input", code: str | None = None
) -> dict[str, Wording]:
    wording = Wording(message, source, param, code)
    return {"openai-responses": wording, "azure": wording}


RESPONSES_RULES = (
    Rule(
        "call_without_output",
        "responses",
        checks.calls_without_output,
        _both("No tool output found for {what} {id}.", "router-for-me/CLIProxyAPI#2368"),
        "Of a shell call: microsoft/agent-framework#8663.",
    ),
    Rule(
        "output_without_call",
        "responses",
        checks.outputs_without_call,
        _both("No tool call found for {what} output with call_id {id}.", "microsoft/vscode#320060"),
    ),
    Rule(
        "safety_check_not_acknowledged",
        "responses",
        checks.safety_checks_not_acknowledged,
        _both(
            "Computer tool has unacknowledged safety check for ['{id}']", "openai/openai-agents-python#843"
        ),
    ),
    Rule(
        "repeated_call_id",
        "responses",
        checks.repeated_call_ids,
        _both("Duplicate call_ids submitted: ['{id}', '{id}']", "alvesvaren/zod-to-openai-tool#263"),
        "Reported for the Assistants API, of which the Responses API is the successor; there it may pair wrongly "
        "instead. The SDK drops the first of the two (NousResearch/hermes-agent#102629).",
    ),
    Rule(
        "reasoning_without_item",
        "responses",
        checks.reasoning_without_item,
        _both(
            "Item '{id}' of type 'reasoning' was provided without its required following item.",
            "continuedev/continue#8933",
        ),
        "The reverse, an item without its reasoning (continuedev/continue#10018), cannot be seen in a request.",
    ),
    Rule(
        "reasoning_with_content",
        "responses",
        checks.reasoning_with_content,
        _both(
            "Invalid 'input[{index}].content': array too long. Expected an array with maximum length 0, but got an "
            "array with length {length} instead.",
            "querymt/querymt#976",
            "input[{index}].content",
            "array_above_max_length",
        ),
    ),
    Rule(
        "repeated_id",
        "responses",
        checks.repeated_ids,
        _both(
            "Duplicate item found with id {id}. Remove duplicate items from your input and try again.",
            "earendil-works/pi#5165",
        ),
    ),
    Rule(
        "id_prefix",
        "responses",
        checks.ids_with_other_prefix,
        _both(
            "Invalid 'input[{index}].id': '{id}'. Expected an ID that begins with '{prefix}'.",
            "openai/codex#33176",
            "input[{index}].id",
            "invalid_id_prefix",
        ),
        "Of a custom tool call: BigPizzaV3/CodexPlusPlus#1929.",
    ),
    Rule(
        "id_characters",
        "responses",
        checks.ids_with_other_characters,
        _both(
            "Invalid 'input[{index}].id': '{id}'. Expected an ID that contains letters, numbers, underscores, or "
            "dashes, but this value contained additional characters.",
            "langchain-ai/langchainjs#11044",
            "input[{index}].id",
            "invalid_value",
        ),
        "The message names dashes, but they are refused (CopilotKit/CopilotKit#6117).",
    ),
    Rule(
        "id_too_long",
        "responses",
        checks.ids_too_long,
        _both(
            "Invalid 'input[{index}].{name}': string too long. Expected a string with maximum length 64, but got a "
            "string with length {length} instead.",
            "openai/codex#14355",
            "input[{index}].{name}",
            "string_above_max_length",
        ),
    ),
    Rule(
        "string_empty",
        "responses",
        checks.strings_empty,
        _both(
            "Invalid 'input[{index}].{name}': empty string. Expected a string with minimum length 1, but got an "
            "empty string instead.",
            "continuedev/continue#11685",
            "input[{index}].{name}",
            "empty_string",
        ),
    ),
    Rule(
        "name_characters",
        "responses",
        checks.names_with_other_characters,
        _both(
            "Invalid '{place}': string does not match pattern. Expected a string that matches the pattern "
            "'^[a-zA-Z0-9_-]+$'.",
            "mcp-use/mcp-use#94",
            "{place}",
            "invalid_value",
        ),
    ),
    Rule(
        "name_too_long",
        "responses",
        checks.names_too_long,
        _both(
            "Invalid '{place}': string too long. Expected a string with maximum length 64, but got a string with "
            "length {length} instead.",
            "archestra-ai/archestra#401",
            "{place}",
            "string_above_max_length",
        ),
        "diegosouzapw/OmniRoute#4317 cuts names at 128.",
    ),
    Rule(
        "field_missing",
        "responses",
        checks.fields_missing,
        _both(
            "Missing required parameter: 'input[{index}].{name}'.",
            "openai/codex#6725",
            "input[{index}].{name}",
            "missing_required_parameter",
        ),
    ),
    Rule(
        "field_unknown",
        "responses",
        checks.fields_unknown,
        _both(
            "Unknown parameter: 'input[{index}].{name}'.",
            "1jehuang/jcode#1028",
            "input[{index}].{name}",
            "unknown_parameter",
        ),
        "The fields are those of the openai package, without `status` of reasoning, which is refused.",
    ),
    Rule(
        "type_unknown",
        "responses",
        checks.types_unknown,
        _both(
            "Invalid value: '{type}'. Supported values are: 'message', 'function_call', 'function_call_output', and "
            "'reasoning'.",
            "https://platform.openai.com/docs/api-reference/responses/create",
            "input[{index}]",
            "invalid_value",
        ),
        "The API lists all types that it knows; the list is shortened here.",
    ),
    Rule(
        "content_of_other_role",
        "responses",
        checks.content_of_other_role,
        _both(
            "Invalid value: '{type}'. Supported values are: 'output_text' and 'refusal'.",
            "jamesrochabrun/SwiftOpenAI#136",
            "input[{index}].content[{number}]",
            "invalid_value",
        ),
    ),
    Rule(
        "value_of_other_type",
        "responses",
        checks.values_of_other_type,
        _both(
            "Invalid type for '{place}': expected {expected}, but got {kind} instead.",
            "https://platform.openai.com/docs/api-reference/responses/create",
            "{place}",
            "invalid_type",
        ),
    ),
    Rule(
        "string_too_long",
        "responses",
        checks.strings_too_long,
        _both(
            "Invalid 'input[{index}].{name}': string too long. Expected a string with maximum length 10485760, but "
            "got a string with length {length} instead.",
            "VectorlyApp/bluebox#31",
            "input[{index}].{name}",
            "string_above_max_length",
        ),
    ),
    Rule(
        "lone_surrogate",
        "responses",
        checks.lone_surrogates_in_input,
        _both(JSON_HINT, "openai/openai-go#245", None),
    ),
)
