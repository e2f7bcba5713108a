"""The contract of key sets."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from joserfc.jwk import Key


class KeySet(ABC):
    """The keys of one issuer of tokens."""

    algorithms: ClassVar[frozenset[str]]
    """The signature algorithms (RFC 7518, section 3.1) that the keys are for. Sets that a token could be meant for have
    none in common: the name of the algorithm, which an attacker chooses, must not choose the kind of key."""

    @abstractmethod
    async def candidates(self, algorithm: str, key_id: str | None) -> Sequence[Key]:
        """The keys that may have made a signature, most likely first; none if there are none.

        Args:
            algorithm: One of `algorithms`.
            key_id: The `kid` of the token's header, if it has one.

        Raises:
            UnavailableError: The keys are not known now. The token may be valid.
        """

    async def renewed(self, algorithm: str, key_id: str | None) -> Sequence[Key]:
        """The candidates after none of the first ones fitted, where the issuer may have new keys by now; none if the
        set has not changed.

        Raises:
            UnavailableError: See `candidates`.
        """
        del algorithm, key_id
        return ()

    async def aclose(self) -> None:  # noqa: B027 - most have nothing to close
        """Close connections. Idempotent."""
