"""The contracts of the ledger of budgets and of the store of usage."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from backchannel.budgets.budget import Account
from backchannel.budgets.grants import Balance, Demand
from backchannel.context import CallUsage, Identity


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a model call is charged to.

    Attributes:
        run_id: Empty for a call outside of a run.
        model: The name of the model.
        purpose: What the call is for; see `scope.Purpose`.
    """

    identity: Identity
    run_id: str
    model: str
    purpose: str


@dataclass(slots=True)
class Reservation:
    """What was set aside for a call in progress.

    Attributes:
        id: `res_…`.
        accounts: The accounts at the time of the call: it is charged to the windows in which it began.
        demand: What the call may use; its output is as much as was granted.
    """

    id: str
    caller: Caller
    accounts: Sequence[Account]
    demand: Demand


@dataclass(frozen=True, slots=True)
class AccountState:
    """An account and what is used and reserved of it."""

    account: Account
    balance: Balance


class Ledger(ABC):
    """Accounts of users and tenants in a store that all replicas share.

    The rule is: for each account, what is used and what is reserved never exceed the limit together because of a
    reservation, however many are made at the same time. What a call has really used is booked as it is, even if the
    provider reports more than was reserved.

    Every method raises `UnavailableError` if the store cannot be reached.
    """

    @abstractmethod
    async def check(self, identity: Identity) -> None:
        """Check that no budget of the caller is used up. Reservations do not count: they may be given back.

        Raises:
            BudgetExceededError: One is.
        """

    @abstractmethod
    async def reserve(self, caller: Caller, demand: Demand, seconds: float) -> Reservation:
        """Reserve, in all accounts of the caller or in none, the input and as much of the output as is left.

        Args:
            seconds: After so long, the reservation of a process that has died may be settled.

        Raises:
            BudgetExceededError: Less than the input and one token of output is left. It may be retried if only
                reservations stand in the way.
        """

    @abstractmethod
    async def extend(self, reservation: Reservation, output_tokens: int) -> int:
        """Reserve more output for a call in progress, as much of it as is left; returns how much.

        Raises:
            BudgetExceededError: Nothing is left.
        """

    @abstractmethod
    async def settle(self, reservation: Reservation, used: CallUsage) -> bool:
        """Give a reservation back, book what the call has used, and store its usage, all of it or nothing. A second
        call changes nothing and returns `False`, also after `settle_run` or `settle_expired`."""

    @abstractmethod
    async def settle_run(self, run_id: str, output_tokens: int) -> int:
        """Settle what a process that died has reserved for a run; returns for how many calls.

        Booked are the estimated inputs, which were sent, and for the first call `output_tokens`, at most what was
        reserved: an estimate of the text that readers have got.
        """

    @abstractmethod
    async def settle_expired(self) -> int:
        """Settle reservations of all runs that have expired, at their estimated inputs, and delete accounts of windows
        that are long over; returns how many reservations."""

    @abstractmethod
    async def states(self, identity: Identity) -> Sequence[AccountState]:
        """The caller's accounts at present, in the order of their keys."""


class UsageStore(ABC):
    """What calls of models have used."""

    @abstractmethod
    async def add(self, identity: Identity, run_id: str, calls: Sequence[CallUsage]) -> None:
        """Store the usage of calls of a run that has ended."""

    @abstractmethod
    async def by_model(self, identity: Identity, since: datetime) -> Sequence[CallUsage]:
        """What a caller has used since a time, summed by model and purpose, in that order."""
