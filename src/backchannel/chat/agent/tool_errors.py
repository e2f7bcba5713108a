"""What happens when a tool raises an exception that does not end the run."""

from typing import Any

import structlog
from agents import ToolErrorFormatterArgs
from agents.exceptions import ModelBehaviorError

from backchannel.chat.agent.context import AnswerContext

log = structlog.get_logger(__name__)


def report_tool_error(error: ToolErrorFormatterArgs[Any]) -> str | None:
    """Log an exception of a tool, mark its call as failed, and return what the model is told.

    Only tools without a `failure_error_function` of their own get here. The text of the exception is not for the
    model: it may hold secrets.
    """
    context = error.run_context.context
    if isinstance(context, AnswerContext):
        context.failed_calls.add(error.call_id)
    if error.kind != "tool_exception":
        return None
    if isinstance(error.error, ModelBehaviorError):
        log.warning("tool_arguments_invalid", tool=error.tool_name, call_id=error.call_id)
        return (
            f"The arguments of this call of {error.tool_name} are not valid: they must be one JSON object that fits "
            "the tool's parameters. Call it again with correct arguments."
        )
    log.error("tool_failed", tool=error.tool_name, call_id=error.call_id, exc_info=error.error)
    return None
