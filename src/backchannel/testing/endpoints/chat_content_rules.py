"""The rules on order, contents and parameters of the Chat Completions API, with the words of each provider."""

from backchannel.testing.endpoints import chat_content as checks
from backchannel.testing.endpoints.chat_call_rules import ORDER, openai
from backchannel.testing.endpoints.rules import Rule, Wording

JSON_HINT = (
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library "
    "correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON. If you have trouble "
    "figuring out how to fix this, please contact us through our help center at help.openai.com.)"
)

CONTENT_RULES = (
    Rule(
        "first_message_not_of_user",
        "chat",
        checks.first_message_not_of_user,
        {
            "anthropic": Wording('messages: first message must use the "user" role', "lobehub/lobehub#1601"),
        },
    ),
    Rule(
        "last_message_of_assistant",
        "chat",
        checks.last_message_of_assistant,
        {
            "mistral": Wording(
                "Expected last role User or Tool (or Assistant with prefix True) for serving but got assistant",
                "QuantumNous/new-api#2858",
                code="3230",
                type=ORDER,
            ),
            "anthropic": Wording(
                "This model does not support assistant message prefill. The conversation must end with a user "
                "message.",
                "agenticloops-ai/agentic-ai-engineering#43",
            ),
        },
        "Anthropic: models since Claude 4.6; ash-project/ash_ai#191 reports older ones too.",
    ),
    Rule(
        "call_not_after_user_or_output",
        "chat",
        checks.call_not_after_user_or_output,
        {
            "gemini": Wording(
                "Please ensure that function call turn comes immediately after a user turn or after a function "
                "response turn.",
                "google-gemini/gemini-cli#11814",
            )
        },
    ),
    Rule(
        "user_after_output",
        "chat",
        checks.user_after_output,
        {
            "mistral": Wording(
                "Unexpected role '{role}' after role 'tool'",
                "avante-corp/avante.nvim#2695",
                code="3230",
                type=ORDER,
            )
        },
    ),
    Rule(
        "roles_do_not_alternate",
        "chat",
        checks.roles_do_not_alternate,
        {
            "llama.cpp": Wording(
                "Error: Jinja Exception: After the optional system message, conversation roles must alternate "
                "user and assistant roles except for tool calls and results.",
                "ggml-org/llama.cpp#19851",
                status=500,
                code=500,
                type="server_error",
            )
        },
        "Depends on the model's template: those of Mistral, Llama 2 and Gemma raise it, those of Qwen do not.",
    ),
    Rule(
        "system_message_not_first",
        "chat",
        checks.system_message_not_first,
        {
            "llama.cpp": Wording(
                "Unable to generate parser for this template. Automatic parser generation failed: \n------------\n"
                "Error: Jinja Exception: System message must be at the beginning.",
                "tailcallhq/forgecode#2586",
                code=400,
                type="invalid_request_error",
            )
        },
    ),
    Rule(
        "developer_role",
        "chat",
        checks.developer_role,
        {
            "deepseek": Wording(
                "Failed to deserialize the JSON body into the target type: messages[{index}].role: unknown variant "
                "`developer`, expected one of `system`, `user`, `assistant`, `tool`, `latest_reminder` at line 1 "
                "column 60",
                "num-scope/pix#34",
            )
        },
        "Older reports have status 422 (eclipse-theia/theia#15144).",
    ),
    Rule(
        "no_messages",
        "chat",
        checks.no_messages,
        {
            "anthropic": Wording(
                "messages: at least one message is required", "langchain-ai/langchain#31696"
            ),
            "gemini": Wording(
                "Unable to submit request because at least one contents field is required. Learn more: "
                "https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/gemini",
                "Calcium-Ion/new-api-horizon#24",
            ),
        },
    ),
    Rule(
        "messages_empty",
        "chat",
        checks.messages_empty,
        openai(
            Wording(
                "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array "
                "instead.",
                "CopilotKit/CopilotKit#529",
                "messages",
                "empty_array",
            )
        ),
    ),
    Rule(
        "assistant_without_content",
        "chat",
        checks.assistant_without_content,
        openai(
            Wording(
                "Invalid value for 'content': expected a string, got null.",
                "songquanpeng/one-api#784",
                "messages.[{index}].content",
            )
        ),
    ),
    Rule(
        "assistant_with_empty_content",
        "chat",
        checks.assistant_with_empty_content,
        {
            "deepseek": Wording(
                "Invalid assistant message: content or tool_calls must be set", "carlrobertoh/ProxyAI#834"
            ),
            "mistral": Wording(
                "Assistant message must have either content or tool_calls, but not none.",
                "solbrowse/extension#16",
            ),
            "vllm": Wording(
                "Invalid assistant message: role='assistant' content=None tool_calls=None prefix=False",
                "vllm-project/vllm#21089",
                code=400,
            ),
        },
        "github/copilot-cli#4884 suspects that Mistral refuses content beside tool_calls; its own models send both, "
        "so this is not checked. vLLM refuses it for models with the tokenizer of Mistral.",
    ),
    Rule(
        "content_null",
        "chat",
        checks.content_null,
        openai(
            Wording(
                "Invalid value for 'content': expected a string, got null.",
                "langchain-ai/langchainjs#4153",
                "messages.[{index}].content",
            )
        ),
    ),
    Rule(
        "content_empty_list",
        "chat",
        checks.content_empty_list,
        {
            "anthropic": Wording(
                "messages.{index}: all messages must have non-empty content except for the optional final "
                "assistant message",
                "anthropics/claude-code#6774",
            )
        },
        "OpenAI documents at least one part, and takes an empty list (openai/openai-python#1812).",
    ),
    Rule(
        "calls_empty_list",
        "chat",
        checks.calls_empty_list,
        openai(
            Wording(
                "Invalid 'messages[{index}].tool_calls': empty array. Expected an array with minimum length 1, but "
                "got an empty array instead.",
                "home-assistant/core#118577",
                "messages[{index}].tool_calls",
                "empty_array",
            )
        ),
    ),
    Rule(
        "text_empty",
        "chat",
        checks.text_empty,
        {
            "anthropic": Wording(
                "messages: text content blocks must be non-empty", "anthropics/claude-code#59812"
            )
        },
        "No public report says that an empty output of a tool is refused.",
    ),
    Rule(
        "text_blank",
        "chat",
        checks.text_blank,
        {
            "anthropic": Wording(
                "messages: text content blocks must contain non-whitespace text",
                "anthropics/claude-code#23369",
            )
        },
    ),
    Rule(
        "message_without_parts",
        "chat",
        checks.message_without_parts,
        {
            "gemini": Wording(
                "* GenerateContentRequest.contents[{index}].parts: contents.parts must not be empty.\n",
                "vercel/ai#3775",
            )
        },
        'Vertex AI words it "it has an empty text parameter" (glowingjade/obsidian-smart-composer#218).',
    ),
    Rule(
        "last_text_ends_blank",
        "chat",
        checks.last_text_ends_blank,
        {
            "anthropic": Wording(
                "messages: final assistant content cannot end with trailing whitespace",
                "tailcallhq/forgecode#1872",
            )
        },
    ),
    Rule(
        "text_too_long",
        "chat",
        checks.text_too_long,
        openai(
            Wording(
                "Invalid 'messages[{index}].content': string too long. Expected a string with maximum length "
                "10485760, but got a string with length {length} instead.",
                "Shopify/roast#52",
                "messages[{index}].content",
                "string_above_max_length",
            )
        ),
    ),
    Rule(
        "lone_surrogate",
        "chat",
        checks.lone_surrogates_in_chat,
        openai(Wording(JSON_HINT, "openai/openai-go#245"))
        | {
            "anthropic": Wording(
                "The request body is not valid JSON: no low surrogate in string: line 1 column {column} (char "
                "{char})",
                "anthropics/claude-code#60394",
            ),
            "deepseek": Wording(
                "Failed to parse the request body as JSON: lone leading surrogate in hex escape at line 1 column "
                "{column}",
                "JohnnyZ93/oai-compatible-copilot#271",
            ),
        },
    ),
)
