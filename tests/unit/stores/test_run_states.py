"""Every step a run can take, and none that it cannot."""

from itertools import product

import pytest

from backchannel.stores.run_states import (
    ACTIVE,
    ENDED,
    TRANSITIONS,
    IllegalTransitionError,
    check_transition,
    sources,
)

pytestmark = pytest.mark.row("C4", "H1")

POSSIBLE = {
    ("queued", "running"), ("queued", "failed"), ("queued", "cancelled"), ("queued", "interrupted"),
    ("running", "waiting"), ("running", "completed"), ("running", "failed"), ("running", "cancelled"),
    ("running", "interrupted"), ("waiting", "completed"), ("waiting", "cancelled"),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new"), list(product(TRANSITIONS, TRANSITIONS)))
def test_a_step_is_possible_or_refused(old, new):
    if (old, new) in POSSIBLE:
        check_transition(old, new)
        assert old in sources(new)
    else:
        assert old not in sources(new)
        with pytest.raises(IllegalTransitionError):
            check_transition(old, new)


def test_an_end_is_final_and_what_is_active_is_not_an_end():
    assert {"completed", "failed", "cancelled", "interrupted"} == ENDED
    assert not ACTIVE & ENDED
    assert all(not TRANSITIONS[status] for status in ENDED)
