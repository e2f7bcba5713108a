"""Tools that may be called again after a crash.

When a process dies while a tool runs, nobody knows whether the tool took effect. A tool that says it is idempotent is
called again with the same key and has to do once what it does for one key; of any other the model is told that its
outcome is unknown.
"""

import hashlib
from typing import Any

from agents import FunctionTool
from agents.tool_context import ToolContext

_MARK = "_backchannel_idempotent"


def idempotent(tool: FunctionTool) -> FunctionTool:
    """Declare that calling `tool` twice with the same `idempotency_key` does what calling it once does.

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
    """A name for this call of a tool: the same when it is called again after a crash, another for every other call.
    70 characters or fewer, of letters, digits and `_`.

    Args:
        context: What the tool was given as its first argument.
    """
    request = getattr(context.context, "request_context", None)
    run_id: str = getattr(request, "run_id", None) or ""
    # Some models call every call "call_1".
    parts = (run_id, context.tool_call_id, context.tool_name, context.tool_arguments)
    return f"call_{hashlib.sha256('\x00'.join(parts).encode(errors='surrogatepass')).hexdigest()}"
