"""Endpoints, and what an application's own routers need to behave like them."""

from backchannel.http.current_context import CurrentContext
from backchannel.http.json_body import JsonRoute

__all__ = ["CurrentContext", "JsonRoute"]
