"""What the process has loaded from which `processes.Process.fork` starts programs.

Loading it takes seconds. Of Backchannel only modules are in it whose import has no effect but to define things.
"""

import gc
import importlib

LIBRARIES = (
    *("agents", "agents.extensions.handoff_prompt", "agents.extensions.tool_output_trimmer"),
    *("agents.models.openai_responses", "aiosqlite", "alembic.command", "alembic.config", "asyncmy"),
    *("asyncpg", "chatkit.agents", "chatkit.server", "cyclopts.validators", "dateparser", "fastapi", "h11"),
    *("httpcore2", "httptools", "httpx2", "joserfc.jwt", "openai.resources.responses"),
    *("openai.types.responses", "pydantic.v1", "pydantic_settings", "rapidfuzz", "redis.asyncio", "rich"),
    *("sqlalchemy.ext.asyncio", "sqlalchemy.dialects.mysql.asyncmy", "truststore", "uvicorn", "uvloop"),
    *("sqlalchemy.dialects.postgresql.asyncpg", "sqlalchemy.dialects.sqlite.aiosqlite", "structlog"),
)
OWN = ("cli", "cli.serve", "hosting.fastapi", "hosting.uvicorn", "todo", "wiring")

for name in (*LIBRARIES, *(f"backchannel.{own}" for own in OWN)):
    importlib.import_module(name)
# The collector of each new process passes over all this.
gc.freeze()
