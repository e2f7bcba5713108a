"""Settings of connections and of the time that a request may take to arrive."""

from pydantic import Field
from pydantic_settings import BaseSettings


class ConnectionSettings(BaseSettings):
    """See the module. Those of connections and headers apply to `backchannel serve`, in each process."""

    max_header_bytes: int = Field(
        65_536,
        ge=4096,
        le=1_048_576,
        description="Largest request line with all headers, in bytes.",
    )
    header_timeout_seconds: float = Field(
        10,
        gt=0,
        le=120,
        description="Seconds for a request's headers to arrive, from the start of the connection or the first byte.",
    )
    body_timeout_seconds: float = Field(
        30, gt=0, le=3600, description="Seconds for a request's body to arrive."
    )
    # Longer than proxies keep idle connections (nginx and AWS's load balancers: 60 s): if the server is the first to
    # close, a request that is on its way is lost. lsst-sqre/phalanx#5103, ray-project/ray#54127.
    keep_alive_seconds: float = Field(
        75, gt=0, le=3600, description="Seconds after which a connection without a request is closed."
    )
    max_connections: int = Field(
        4096,
        ge=1,
        description="Most open connections of a server process. Idle ones make room for new ones.",
    )
    max_connections_per_address: int = Field(
        512,
        ge=1,
        description="Most open connections of one client address (IPv6: one /64 network) to a server process, except "
        "those of BACKCHANNEL_TRUSTED_PROXIES.",
    )
