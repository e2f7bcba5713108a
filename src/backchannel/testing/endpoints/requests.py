"""What an endpoint has received."""

from collections.abc import Mapping
from dataclasses import dataclass

from backchannel.testing.endpoints.rules import Api, Json


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """A request whose body could be parsed.

    Attributes:
        api: The API to which it was sent.
        body: The parsed body.
        headers: The headers, by their names in lower case.
        number: How many requests the endpoint had received before.
    """

    api: Api
    body: Json
    headers: Mapping[str, str]
    number: int

    @property
    def stream(self) -> bool:
        """Whether it asks for a stream."""
        return bool(self.body.get("stream"))

    @property
    def model(self) -> str:
        """The model's name."""
        return str(self.body.get("model") or "")
