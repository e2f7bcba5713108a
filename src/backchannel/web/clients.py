"""From where a request comes, for the list of one's logins and for the audit log."""

from dataclasses import dataclass

from starlette.requests import HTTPConnection

from backchannel.web.addresses import network_of


@dataclass(frozen=True, slots=True)
class Client:
    """From where a request comes.

    Attributes:
        address: The IP address; empty if unknown, as on a Unix socket.
        user_agent: The `User-Agent` header.
        request_id: `req_…`; `None` for the command line.
    """

    address: str = ""
    user_agent: str = ""
    request_id: str | None = None

    @property
    def network(self) -> str:
        """The address without the part that one customer of a provider chooses: of IPv6 the first 64 bits."""
        return network_of(self.address)

    @property
    def region(self) -> str | None:
        """The address, shortened so that it says about where but not who: 24 bits of IPv4, 48 of IPv6."""
        return network_of(self.address, 24, 48) or None


def client_of(request: HTTPConnection, request_id: str | None) -> Client:
    """The client of a request. Behind trusted proxies the address is the one that they say."""
    return Client(
        request.client.host if request.client else "", request.headers.get("user-agent", ""), request_id
    )
