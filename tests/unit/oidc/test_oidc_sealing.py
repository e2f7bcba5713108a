"""Encryption of what a login needs later."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.oidc.sealing import Sealer

pytestmark = pytest.mark.row("F2b")

SEALER = Sealer(b"k" * 32)


def test_what_was_sealed_is_read_with_the_same_secret_and_purpose_only():
    sealed = SEALER.seal("attempt 1", {"token": "secret"})
    assert "secret" not in sealed
    opened = Sealer(b"k" * 32).open("attempt 1", sealed)
    assert opened is not None
    assert opened["token"] == "secret"
    assert SEALER.open("attempt 2", sealed) is None
    assert Sealer(b"j" * 32).open("attempt 1", sealed) is None
    assert sealed != SEALER.seal("attempt 1", {"token": "secret"})


@given(st.text(max_size=200))
def test_anything_else_is_nothing(text: str):
    assert SEALER.open("attempt 1", text) is None


@given(st.integers(0, 100), st.sampled_from("AZaz09-_."))
def test_a_changed_one_is_nothing(place: int, character: str):
    sealed = SEALER.seal("x", {"a": "b" * 40})
    place %= len(sealed) - 2
    changed = sealed[:place] + character + sealed[place + 1 :]
    assert changed == sealed or SEALER.open("x", changed) is None
