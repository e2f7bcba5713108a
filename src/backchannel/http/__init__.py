"""HTTP endpoints, and the public parts for an application's own routers."""

from backchannel.http.current_context import CurrentContext, context_with
from backchannel.http.json_body import JsonRoute

__all__ = ["CurrentContext", "JsonRoute", "context_with"]
