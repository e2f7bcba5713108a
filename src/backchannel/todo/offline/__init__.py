"""The todo assistant's offline model, which parses English todo requests by rules."""

from backchannel.todo.offline.model import TodoOfflineModel

__all__ = ["TodoOfflineModel"]
