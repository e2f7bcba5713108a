"""What an application can say about its tools: which are idempotent, and what a person is asked before one runs.

If a process dies while a tool runs, it is unknown whether the tool took effect. An idempotent tool is called again with
the same key; for any other the model gets an output which states that the outcome is unknown.
"""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

from agents import FunctionTool, RunContextWrapper
from agents.tool_context import ToolContext

_MARK = "_backchannel_idempotent"
_QUESTION = "_backchannel_approval_question"

type ApprovalQuestion = Callable[[RunContextWrapper[Any], dict[str, Any]], Awaitable[str | None]]
"""Gives the question for a call, from the run's context and the call's arguments; `None` for the usual question."""


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


def approval_question(tool: FunctionTool, question: ApprovalQuestion) -> FunctionTool:
    """Set what a person is asked before a tool with `needs_approval` runs, in place of its name and arguments.

    ```python
    async def question(ctx: RunContextWrapper[Any], arguments: dict[str, Any]) -> str:
        return f"Cancel the order of {await orders.title(arguments['order_id'])}?"

    approval_question(cancel_order, question)
    ```

    The arguments are what the model wrote: not validated, and `{}` if it wrote no JSON object. If `question` raises an
    exception or takes longer than 5 seconds, the usual question is asked. At most 2,000 characters are shown. After a
    crash `question` may be called again.
    """
    setattr(tool, _QUESTION, question)
    return tool


def approval_question_of(tool: object) -> ApprovalQuestion | None:
    """The question that was set for a tool."""
    return getattr(tool, _QUESTION, None)
