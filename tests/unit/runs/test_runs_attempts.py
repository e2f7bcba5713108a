"""A request that names itself is done once."""

import pytest
from chatkit.types import ThreadsAddClientToolOutputReq

from backchannel.context import Identity
from backchannel.errors import ConflictError
from backchannel.runs import attempts
from backchannel.runs.attempts import Attempts

pytestmark = pytest.mark.row("A4", "C4")

ANN = Identity("ann", tenant="acme")


def request(result: str = "x") -> ThreadsAddClientToolOutputReq:
    return ThreadsAddClientToolOutputReq.model_validate({"params": {"thread_id": "thr_1", "result": result}})


def test_the_second_claim_gets_the_first_ones_run():
    known = Attempts()
    assert known.claim(ANN, "key", request(), "run_1") is None
    assert known.claim(ANN, "key", request(), "run_2") == "run_1"
    assert known.claim(ANN, "key", request(), "run_3") == "run_1"


def test_another_request_with_the_same_key_is_refused():
    known = Attempts()
    known.claim(ANN, "key", request("x"), "run_1")
    with pytest.raises(ConflictError, match="Idempotency-Key"):
        known.claim(ANN, "key", request("y"), "run_2")
    assert known.claim(ANN, "key", request("x"), "run_3") == "run_1"


@pytest.mark.parametrize("other", [Identity("eve", tenant="acme"), Identity("ann", tenant="other")])
def test_keys_of_different_people_are_different(other: Identity):
    known = Attempts()
    known.claim(ANN, "key", request("x"), "run_1")
    assert known.claim(other, "key", request("y"), "run_2") is None
    assert known.claim(Identity("ann", tenant="acme", name="Ann"), "key", request("x"), "run_3") == "run_1"


def test_a_released_key_can_be_used_again():
    known = Attempts()
    known.claim(ANN, "key", request("x"), "run_1")
    known.release(ANN, None)
    known.release(ANN, "other")
    assert known.claim(ANN, "key", request("x"), "run_2") == "run_1"
    known.release(ANN, "key")
    assert known.claim(ANN, "key", request("y"), "run_3") is None


def test_the_oldest_keys_are_forgotten_first(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(attempts, "MAX_ATTEMPTS", 3)
    known = Attempts()
    for number in range(4):
        assert known.claim(ANN, str(number), request(), f"run_{number}") is None
    assert known.claim(ANN, "1", request(), "run_x") == "run_1"
    assert known.claim(ANN, "3", request(), "run_x") == "run_3"
    assert known.claim(ANN, "0", request(), "run_new") is None
