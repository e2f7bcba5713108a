"""Logs: one line an event, for a person (console) or a machine (JSON), each with the ids in force.

Lines carry `request_id`, `run_id`, `thread_id` and `user_id` where there are any, and never what people or
models said, nor secrets.
"""

import logging
import sys
from typing import Literal

import structlog
from structlog.typing import Processor

_QUIET = (
    "uvicorn.access",
    "httpx",
    "httpx2",
    "httpcore",
    "openai.agents",
    "chatkit",
    "alembic",
    "asyncio",
    "aiosqlite",
)


def configure_logging(style: Literal["console", "json"], level: str) -> None:
    """Send the whole process's logs through one formatter to standard error."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: list[Processor]
    if style == "json":
        frames = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        renderer = [structlog.processors.ExceptionRenderer(frames), structlog.processors.JSONRenderer()]
    else:
        # Without the values of local variables, among which are people's messages and keys.
        plain = structlog.dev.plain_traceback
        renderer = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        # What they say at INFO is said better by our own lines, or speaks of message contents.
        logging.getLogger(name).setLevel(logging.WARNING)
