"""A request that names itself is done once, whoever else uses the same name."""

from dataclasses import replace

import pytest
from chatkit.types import ThreadsAddClientToolOutputReq

from backchannel.context import Identity
from backchannel.errors import ConflictError
from backchannel.runs.idempotency import check_same_request, new_idempotency_record

pytestmark = pytest.mark.row("A4", "C4")

ANN = Identity("ann", tenant="acme")


def request(result: str = "x") -> ThreadsAddClientToolOutputReq:
    return ThreadsAddClientToolOutputReq.model_validate({"params": {"thread_id": "thr_1", "result": result}})


def test_the_same_request_is_the_earlier_one():
    earlier = replace(new_idempotency_record(request(), ANN, "key"), run_id="run_1")
    assert check_same_request(new_idempotency_record(request(), ANN, "key"), earlier) == earlier
    assert check_same_request(new_idempotency_record(request(), ANN, "key"), None) is None


def test_another_request_with_the_same_key_is_refused():
    earlier = new_idempotency_record(request("x"), ANN, "key")
    with pytest.raises(ConflictError, match="Idempotency-Key"):
        check_same_request(new_idempotency_record(request("y"), ANN, "key"), earlier)


@pytest.mark.parametrize("other", [Identity("eve", tenant="acme"), Identity("ann", tenant="other")])
def test_keys_of_different_people_are_different(other: Identity):
    mine = new_idempotency_record(request(), ANN, "key")
    assert new_idempotency_record(request(), other, "key").id != mine.id
    assert new_idempotency_record(request(), Identity("ann", tenant="acme", name="Ann"), "key").id == mine.id
