"""Idempotent tools, which may be called again after a crash.

If a process dies while a tool runs, it is unknown whether the tool took effect. An idempotent tool is called again with
the same key; for any other the model gets an output which states that the outcome is unknown.
"""

import hashlib
from typing import Any

from agents import FunctionTool
from agents.tool_context import ToolContext

_MARK = "_backchannel_idempotent"


def idempotent(tool: FunctionTool) -> FunctionTool:
    """Declare that calling `tool` twice with the same `idempotency_key` has the same effect as calling it once.

    ```python
    @idempotent
    @function_tool
    async def pay(ctx: ToolContext[AgentContext], cents: int) -> str:
        return await bank.pay(cents, key=idempotency_key(ctx))
    ```
    """
    setattr(tool, _MARK, True)
    return tool


def is_idempotent(tool: object) -> bool:
    """Whether a tool was declared `idempotent`."""
    return getattr(tool, _MARK, False) is True


def idempotency_key(context: ToolContext[Any]) -> str:
    """The key of a tool call: the same when the call is repeated after a crash, and different for every other call.
    At most 70 characters: letters, digits and `_`.

    Args:
        context: The first argument of the tool.
    """
    request = getattr(context.context, "request_context", None)
    run_id: str = getattr(request, "run_id", None) or ""
    # The call id alone is not unique: some models use "call_1" for every call.
    parts = (run_id, context.tool_call_id, context.tool_name, context.tool_arguments)
    return f"call_{hashlib.sha256('\x00'.join(parts).encode(errors='surrogatepass')).hexdigest()}"
