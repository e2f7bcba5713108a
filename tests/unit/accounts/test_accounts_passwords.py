"""Passwords: what may be one, and hashing that is bounded in number, memory and waiting."""

import asyncio
import threading
import unicodedata
from typing import Any

import pytest

from backchannel.accounts.passwords import MAX_BYTES, Passwords, check_policy
from backchannel.errors import InvalidInputError, UnavailableError
from processes import until

pytestmark = pytest.mark.row("F2")

GOOD = "hazel parsnip umbrella"


@pytest.fixture
async def passwords():
    passwords = Passwords(memory_kib=64)
    yield passwords
    passwords.close()


@pytest.mark.parametrize(
    "password",
    [
        GOOD,
        "twelve chars",
        "\u6b63\u78ba\u99ac\u96fb\u6c60\u91d8\u66f8\u9280\u884c\u9d60\u9ce5\u8c93",
        "a" + "\u0301" * 5 + " b c d e f g h",
        "tab\tand\x00nul and \x7f",
        "  leading and trailing  ",
        "x1y2" + "z" * (MAX_BYTES - 4),
    ],
)
async def test_any_long_password_will_do(passwords: Passwords, password: str):
    check_policy(password, "alice")
    stored = await passwords.hash(password)
    assert stored.startswith("$argon2id$")
    assert await passwords.verify(password, stored) == (True, None)
    assert await passwords.verify(password + " ", stored) == (False, None)
    assert await passwords.verify(password[:-1], stored) == (False, None)


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("", "0 characters"),
        ("short", "5 characters"),
        ("\U0001f600" * 3, "3 characters"),  # 12 bytes
        ("e\u0301" * 11, "11 characters"),
        ("x" * (MAX_BYTES + 1), "at most 1024"),
        ("\u00e9" * 600, "at most 1024"),
        ("y" * 10_000_000, "at most 1024"),
        ("aaaaaaaaaaaaaaaa", "too easy"),
        ("121212121212", "too easy"),
        ("PasswordPassword", "too easy"),
        ("alicealicealice", "too easy"),
        ("Alice-alice-1", "too easy"),
        ("half \ud800 a surrogate", "cannot be encoded"),
    ],
)
def test_what_is_refused_and_why(password: str, reason: str):
    with pytest.raises(InvalidInputError, match=reason):
        check_policy(password, "alice")


async def test_an_accent_may_be_typed_either_way(passwords: Passwords):
    composed, decomposed = (
        unicodedata.normalize(form, "caf\u00e9 cr\u00e8me br\u00fbl\u00e9e") for form in ("NFC", "NFD")
    )
    assert composed != decomposed
    stored = await passwords.hash(composed)
    assert (await passwords.verify(decomposed, stored))[0]
    # Not further: these are different characters on every keyboard.
    assert not (await passwords.verify(composed.replace("c", "\uff43"), stored))[0]


async def test_what_cannot_be_a_password_is_wrong_and_costs_the_same(passwords: Passwords):
    stored = await passwords.hash(GOOD)
    hashed = counted(passwords)
    await passwords.verify(GOOD, stored)
    for password in ("x" * 10_000_000, "\ud800", "", GOOD + "x" * MAX_BYTES):
        assert await passwords.verify(password, stored) == (False, None)
    for unknown in (None, "", "plain", "$2b$12$" + "x" * 53, "$argon2id$broken"):
        assert await passwords.verify(GOOD, unknown) == (False, None)
    # One hash for each, and one for the dummy.
    assert hashed.count("verify") == 10
    assert max(hashed.sizes) <= MAX_BYTES


async def test_an_unknown_name_is_as_much_work_as_a_known_one(passwords: Passwords):
    """The dummy has the parameters of real hashes: see also tests/services/accounts."""
    stored = await passwords.hash(GOOD)
    await passwords.verify(GOOD, None)
    assert passwords._dummy is not None
    assert passwords._dummy.split("$")[:4] == stored.split("$")[:4]


async def test_hashes_with_other_parameters_are_renewed():
    old, new = Passwords(memory_kib=64), Passwords(memory_kib=128)
    stored = await old.hash(GOOD)
    right, updated = await new.verify(GOOD, stored)
    assert right
    assert updated is not None
    assert "m=128" in updated
    assert await new.verify(GOOD, updated) == (True, None)
    # Not with a wrong password.
    assert await new.verify("wrong password", stored) == (False, None)
    old.close()
    new.close()


async def test_only_so_many_at_the_same_time_and_the_rest_waits_its_turn():
    passwords, gate = Passwords(memory_kib=64, concurrency=2, max_waiting=4), Gate()
    gate.hold(passwords)
    first = [asyncio.create_task(passwords.hash(GOOD)) for _ in range(6)]
    await until(lambda: gate.inside == 2, "two are hashed")
    await until(lambda: passwords._waiting == 4, "four wait")
    with pytest.raises(UnavailableError) as refused:
        await passwords.hash(GOOD)
    assert refused.value.retry_after
    assert gate.inside == 2
    gate.open()
    assert len(set(await asyncio.gather(*first))) == 6
    assert gate.most == 2
    passwords.close()


async def test_waiting_ends():
    passwords, gate = Passwords(memory_kib=64, concurrency=1, wait_seconds=0.02), Gate()
    gate.hold(passwords)
    first = asyncio.create_task(passwords.hash(GOOD))
    await until(lambda: gate.inside == 1, "one is hashed")
    with pytest.raises(UnavailableError, match="Try again"):
        await passwords.hash(GOOD)
    gate.open()
    await first
    passwords.close()


async def test_a_caller_that_goes_away_frees_the_slot_only_when_the_thread_is_done():
    passwords, gate = Passwords(memory_kib=64, concurrency=1, wait_seconds=5), Gate()
    gate.hold(passwords)
    first = asyncio.create_task(passwords.hash(GOOD))
    await until(lambda: gate.inside == 1, "one is hashed")
    first.cancel()
    second = asyncio.create_task(passwords.hash(GOOD))
    await until(lambda: passwords._waiting == 1, "one waits")
    assert gate.most == 1
    gate.open()
    assert await second
    assert gate.most == 1
    passwords.close()


async def test_the_event_loop_goes_on_meanwhile():
    passwords = Passwords(memory_kib=19 * 1024)
    hashing = asyncio.create_task(passwords.hash(GOOD))
    turns = 0
    while not hashing.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 10
    passwords.close()


class counted:  # noqa: N801 - used like a function
    """What was hashed."""

    def __init__(self, passwords: Passwords) -> None:
        self.calls: list[str] = []
        self.sizes: list[int] = []
        hasher: Any = passwords._hash.current_hasher
        verify = hasher.verify

        def watched(password: bytes, stored: str) -> bool:
            self.calls.append("verify")
            self.sizes.append(len(password))
            return verify(password, stored)

        hasher.verify = watched

    def count(self, call: str) -> int:
        return self.calls.count(call)


class Gate:
    """Holds hashes up in their threads."""

    def __init__(self) -> None:
        self._opened = threading.Event()
        self._lock = threading.Lock()
        self.inside = self.most = 0

    def hold(self, passwords: Passwords) -> None:
        hasher: Any = passwords._hash.current_hasher
        original = hasher.hash

        def held(*arguments: Any, **options: Any) -> Any:
            with self._lock:
                self.inside += 1
                self.most = max(self.most, self.inside)
            assert self._opened.wait(10)
            try:
                return original(*arguments, **options)
            finally:
                with self._lock:
                    self.inside -= 1

        hasher.hash = held

    def open(self) -> None:
        self._opened.set()
