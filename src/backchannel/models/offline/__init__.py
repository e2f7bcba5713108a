"""The offline model: a rule-based stand-in for a language model, so that everything works without a key."""

from backchannel.models.offline.model import OfflineModel

__all__ = ["OfflineModel"]
