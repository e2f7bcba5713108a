"""Passwords: what may be one, and hashing by Argon2id, which takes time and memory on purpose.

At most `concurrency` hashes are computed at the same time, each with its memory, and a limited number of callers
waits for a limited time. Others get 503, so that a flood of logins neither exhausts the memory nor stops the event
loop.
"""

import asyncio
import secrets
import unicodedata
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from pwdlib import PasswordHash
from pwdlib.exceptions import PwdlibError
from pwdlib.hashers.argon2 import Argon2Hasher

from backchannel.errors import InvalidInputError, UnavailableError

MIN_CHARS = 12
MAX_BYTES = 1024
"""NIST SP 800-63B revision 4, section 3.1.1.2, asks for a minimal length, for at least 64 permitted characters, and
for no rules of composition. Argon2 has no limit of its own below 4 GiB."""

MEMORY_KIB = 64 * 1024
TIME_COST = 3
PARALLELISM = 4
"""RFC 9106, section 4, second recommended option."""

WAIT_SECONDS = 5.0
"""How long a caller waits for its turn."""

MAX_WAITING = 32
"""How many callers wait."""

RETRY_AFTER_SECONDS = 5

_COMMON = frozenset(
    [
        "passwordpassword",
        "password1234",
        "password12345",
        "password123456",
        "123456789012",
        "1234567890123",
        "1234567890ab",
        "qwertyuiop12",
        "qwertyuiop123",
        "qwertyuiopasdf",
        "abcdefghijkl",
        "abc123abc123",
        "iloveyou1234",
        "letmeinletmein",
        "administrator",
        "adminadmin123",
        "welcome12345",
        "changemechangeme",
        "correcthorsebatterystaple",
    ]
)
"""Frequent passwords of at least `MIN_CHARS` characters."""


class Passwords:
    """Hashes and verifies passwords in threads of its own.

    Args:
        concurrency: The most hashes at the same time.
        memory_kib: The memory of each hash, in KiB.
        wait_seconds: See `WAIT_SECONDS`.
        max_waiting: See `MAX_WAITING`.
    """

    def __init__(
        self,
        *,
        concurrency: int = 2,
        memory_kib: int = MEMORY_KIB,
        wait_seconds: float = WAIT_SECONDS,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        hasher = Argon2Hasher(time_cost=TIME_COST, memory_cost=memory_kib, parallelism=PARALLELISM)
        self._hash = PasswordHash((hasher,))
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="password")
        self._slots = asyncio.Semaphore(concurrency)
        self._wait_seconds = wait_seconds
        self._max_waiting = max_waiting
        self._waiting = 0
        self._dummy: str | None = None

    async def hash(self, password: str) -> str:
        """The hash of a new password, with its parameters and salt.

        Raises:
            UnavailableError: Too many others are waiting.
        """
        return await self._with_slot(partial(self._hash.hash, prepared(password)))

    async def verify(
        self,
        password: str,
        stored: str | None,
        *,
        before: Callable[[], Awaitable[None]] | None = None,
        failed: Callable[[], Awaitable[None]] | None = None,
    ) -> tuple[bool, str | None]:
        """Whether a password is the one of a stored hash, and its new hash if the parameters have changed since.
        Without a stored hash, as for an unknown name, it takes as long and is false.

        Args:
            before: Awaited when it is this caller's turn, right before the hash is computed. What it raises ends the
                call.
            failed: Awaited if the password is wrong, before it is the next caller's turn.

        Raises:
            UnavailableError: Too many others are waiting.
        """
        if self._dummy is None:
            self._dummy = await self.hash(secrets.token_urlsafe())
        given = _normalised(password)
        # Always a hash of an input of a bounded length, so that a long one costs no more than any other.
        usable = given is not None and len(given) <= MAX_BYTES
        against = stored if stored is not None and usable else self._dummy

        async def after(result: tuple[bool, str | None]) -> None:
            if failed is not None and not result[0]:
                await failed()

        known = given if usable and given is not None else b""
        return await self._with_slot(partial(self._verified, known, against, stored), before, after)

    def close(self) -> None:
        """End the threads. Hashes that are being computed are completed."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _verified(self, password: bytes, against: str, stored: str | None) -> tuple[bool, str | None]:
        try:
            matches, updated = self._hash.verify_and_update(password, against)
        except PwdlibError:
            # A hash of another kind, which was stored by something else. It takes as long as any other.
            assert self._dummy is not None
            self._hash.verify(password, self._dummy)
            return False, None
        return (matches, updated) if against is stored else (False, None)

    async def _with_slot[R](
        self,
        work: Callable[[], R],
        before: Callable[[], Awaitable[None]] | None = None,
        after: Callable[[R], Awaitable[None]] | None = None,
    ) -> R:
        if self._waiting >= self._max_waiting:
            raise _busy()
        self._waiting += 1
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._slots.acquire()
        except TimeoutError:
            raise _busy() from None
        finally:
            self._waiting -= 1
        try:
            if before is not None:
                await before()
            hashing = asyncio.get_running_loop().run_in_executor(self._threads, work)
        except BaseException:
            self._slots.release()
            raise
        try:
            result = await asyncio.shield(hashing)
        except BaseException:
            # The thread cannot be interrupted: the slot is free when it is done, also if the caller has gone.
            hashing.add_done_callback(self._done)
            raise
        try:
            if after is not None:
                await after(result)
            return result
        finally:
            self._slots.release()

    def _done(self, hashing: asyncio.Future[Any]) -> None:
        self._slots.release()
        if not hashing.cancelled():
            hashing.exception()


def check_policy(password: str, *names: str) -> None:
    """Check that a password may be set.

    Args:
        names: Of the account; a password that is one of them, or little more, is refused.

    Raises:
        InvalidInputError: It may not; the message says why and what to do.
    """
    given = _normalised(password)
    if given is None:
        raise InvalidInputError("The password has characters that cannot be encoded.")
    text = given.decode()
    if len(text) < MIN_CHARS:
        raise InvalidInputError(
            f"The password has {len(text)} characters; it must have at least {MIN_CHARS}. Several words are easy to "
            "remember and hard to guess."
        )
    if len(given) > MAX_BYTES:
        raise InvalidInputError(f"The password has {len(given)} bytes; at most {MAX_BYTES} are possible.")
    folded = text.casefold()
    without = folded
    for name in names:
        without = without.replace(name.casefold(), "") if name else without
    if len(set(folded)) < 4 or folded in _COMMON or len(without) < 4:
        raise InvalidInputError(
            "The password is too easy to guess: it is a frequent one, the name, or a few characters repeated. Choose "
            "several words that do not belong together."
        )


def prepared(password: str) -> bytes:
    """The bytes that are hashed: a letter with an accent may be typed as one character or as two (NFC makes it one).

    Raises:
        InvalidInputError: The password cannot be encoded, or is too long.
    """
    given = _normalised(password)
    if given is None or len(given) > MAX_BYTES:
        raise InvalidInputError("The password cannot be used.")
    return given


def _normalised(password: str) -> bytes | None:
    # Normalising takes long for long texts.
    if len(password) > MAX_BYTES:
        return b"x" * (MAX_BYTES + 1)
    try:
        return unicodedata.normalize("NFC", password).encode()
    except UnicodeEncodeError:
        return None


def _busy() -> UnavailableError:
    return UnavailableError(
        "Too many people are logging in at the moment. Try again in a few seconds.",
        retry_after=RETRY_AFTER_SECONDS,
    )
