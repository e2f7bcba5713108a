"""The todo assistant's offline model: it understands todo requests in English by rules."""

from backchannel.todo.offline.model import TodoOfflineModel

__all__ = ["TodoOfflineModel"]
