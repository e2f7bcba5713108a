"""Configures structured logging: one line per event, in console or JSON format.

Lines have the current `request_id`, `run_id`, `thread_id` and `user_id`. They never contain messages, model output or
secrets.
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
    """Format all logs of the process uniformly and write them to standard error."""
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
        # Tracebacks without local variables, which may contain messages and keys.
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
        # Their INFO lines duplicate those of this package, or contain messages.
        logging.getLogger(name).setLevel(logging.WARNING)
