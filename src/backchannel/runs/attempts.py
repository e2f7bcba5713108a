"""Requests that name themselves, so that sending one twice does it once (`Idempotency-Key`)."""

import hashlib
from collections import OrderedDict

from pydantic import BaseModel

from backchannel.context import Identity
from backchannel.errors import ConflictError

MAX_ATTEMPTS = 10_000
"""How many keys are remembered; the oldest are forgotten first."""


class Attempts:
    """Which run each caller's key started."""

    def __init__(self) -> None:
        self._runs: OrderedDict[tuple[str, str, str], tuple[bytes, str]] = OrderedDict()

    def claim(self, identity: Identity, key: str, request: BaseModel, run_id: str) -> str | None:
        """Take a key for `run_id`; or, if it is taken, the run that has it.

        Raises:
            ConflictError: It was taken by a different request.
        """
        digest = hashlib.sha256(request.model_dump_json().encode()).digest()
        place = (identity.tenant, identity.user, key)
        known = self._runs.get(place)
        if known is None:
            self._runs[place] = (digest, run_id)
            if len(self._runs) > MAX_ATTEMPTS:
                self._runs.popitem(last=False)
            return None
        if known[0] != digest:
            raise ConflictError("This Idempotency-Key was used for a different request. Make a new one.")
        return known[1]

    def release(self, identity: Identity, key: str | None) -> None:
        """Forget a key whose request was refused, so that it can be sent again."""
        if key is not None:
            self._runs.pop((identity.tenant, identity.user, key), None)
