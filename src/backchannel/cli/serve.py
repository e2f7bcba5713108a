"""`backchannel serve`: run the server."""

import importlib
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from backchannel.settings import Settings


def serve(
    target: str | None = None,
    /,
    *,
    host: str = "127.0.0.1",
    port: Annotated[int, Parameter(validator=Number(gte=0, lte=65535))] = 8000,
    workers: Annotated[int, Parameter(validator=Number(gte=1, lte=64))] = 1,
    reload: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Serve an agent with a chat page.

    Parameters
    ----------
    target
        The application to serve, as module:attribute or file.py:attribute: an Agent, an Application, a ChatKitServer or
        its class, or a function that returns one. Default: BACKCHANNEL_APP, else the todo assistant.
    host
        The address to listen on.
    port
        The port to listen on; 0 for any free one.
    workers
        The number of processes. Each can resume and stop the runs of any other.
    reload
        Restart when a source file changes.
    """
    settings = Settings.load_for(target)
    # Imported late: the SDKs take seconds to load, and invalid settings are reported before.
    server = importlib.import_module("backchannel.hosting.uvicorn")
    server.run(settings, host=host, port=port, workers=workers, reload=reload)
