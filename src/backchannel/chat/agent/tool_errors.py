"""What happens when a tool raises an exception that does not end the run."""

import inspect
from typing import Any

import structlog
from agents import ToolErrorFormatter, ToolErrorFormatterArgs
from agents.exceptions import ModelBehaviorError

from backchannel.chat.agent.approvals import DECLINED
from backchannel.chat.agent.context import AnswerContext
from backchannel.chat.agent.tool_output import invalid_arguments

log = structlog.get_logger(__name__)


def error_formatter(own: ToolErrorFormatter | None) -> ToolErrorFormatter:
    """A formatter that reports errors (`report_tool_error`), and returns what `own` returns, unless that is `None`."""
    if own is None:
        return report_tool_error

    async def report_and_format(error: ToolErrorFormatterArgs[Any]) -> str | None:
        default = report_tool_error(error)
        try:
            text = own(error)
            text = await text if inspect.isawaitable(text) else text
        except Exception:
            log.exception("tool_error_formatter_failed", tool=error.tool_name)
            return default
        return default if text is None else text

    return report_and_format


def report_tool_error(error: ToolErrorFormatterArgs[Any]) -> str | None:
    """Log an exception of a tool, mark its call as failed or declined, and return what the model is told.

    Only tools without a `failure_error_function` of their own get here. The text of the exception is not for the
    model: it may hold secrets.
    """
    context = error.run_context.context
    if error.kind == "approval_rejected":
        if isinstance(context, AnswerContext):
            context.declined_calls.add(error.call_id)
        return DECLINED
    if isinstance(context, AnswerContext):
        context.failed_calls.add(error.call_id)
        if error.kind == "tool_not_found" and context.unavailable_servers:
            # On a replica on which the server has not listed its tools yet, so that they are not known at all.
            names = ", ".join(sorted(context.unavailable_servers))
            return (
                f"The tool {error.tool_name} cannot be used: the tools of {names} are not available right now. The "
                "call did not run. Say so, and call it again if it is still needed later."
            )
    if error.kind != "tool_exception":
        return None
    if isinstance(error.error, ModelBehaviorError):
        log.warning("tool_arguments_invalid", tool=error.tool_name, call_id=error.call_id)
        return invalid_arguments(error.tool_name)
    log.error("tool_failed", tool=error.tool_name, call_id=error.call_id, exc_info=error.error)
    return None
