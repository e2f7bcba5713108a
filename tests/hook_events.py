"""Events that tests give to listeners."""

from backchannel.context import Identity
from backchannel.hooks import HandOff

HAND_OFF = HandOff(
    run_id="run_1",
    thread_id="thr_1",
    identity=Identity("ann"),
    request_id="req_1",
    from_agent="A",
    to_agent="B",
)
