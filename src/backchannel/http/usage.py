"""What the caller has used of models, and what is left of budgets."""

from collections.abc import Sequence
from typing import Literal, Self

from fastapi import APIRouter
from pydantic import BaseModel, Field

from backchannel.budgets.base import AccountState
from backchannel.budgets.budget import Unit, money_text
from backchannel.budgets.windows import Window, window_end, window_start
from backchannel.context import CallUsage, Identity
from backchannel.http.current_context import ChatContext
from backchannel.http.services import Services
from backchannel.stores.times import utc_now, utc_text


class BudgetResponse(BaseModel):
    """A budget and what is left of it. Amounts of money are decimal numbers as text, with the currency in `currency`.

    `reserved` is set aside for answers in progress; what they do not use is given back.
    """

    scope: Literal["user", "tenant"]
    unit: Literal["tokens", "money"]
    window: Literal["hour", "day", "week", "month"]
    limit: int | str
    used: int | str
    reserved: int | str
    remaining: int | str
    percent: int = Field(description="Of the limit, how much is used, rounded down; may exceed 100.")
    exhausted: bool
    starts_at: str
    resets_at: str

    @classmethod
    def of(cls, state: AccountState) -> Self:
        """The response for an account."""
        account, balance = state.account, state.balance
        left = max(account.limit - balance.used - balance.reserved, 0)
        return cls(
            scope=account.scope,
            unit=account.unit,
            window=account.window,
            limit=_amount(account.unit, account.limit),
            used=_amount(account.unit, balance.used),
            reserved=_amount(account.unit, balance.reserved),
            remaining=_amount(account.unit, left),
            percent=balance.used * 100 // account.limit,
            exhausted=balance.used >= account.limit,
            starts_at=utc_text(account.starts_at),
            resets_at=utc_text(account.resets_at),
        )


class ModelUsageResponse(BaseModel):
    """What calls of one model for one purpose have used. `cost` is `null` without prices, `model` for usage of which it
    is not known; `cached_tokens` are among `input_tokens`."""

    model: str | None
    purpose: str
    requests: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    cost: str | None

    @classmethod
    def of(cls, used: CallUsage) -> Self:
        """The response for the usage of a model."""
        return cls(
            model=used.model or None,
            purpose=used.purpose,
            requests=used.requests,
            input_tokens=used.input_tokens,
            cached_tokens=used.cached_tokens,
            output_tokens=used.output_tokens,
            cost=None if used.cost is None else money_text(used.cost),
        )


class UsagePeriod(BaseModel):
    """What was used since the beginning of a window. An answer in progress is added when it ends."""

    window: Literal["hour", "day", "week", "month"]
    starts_at: str
    resets_at: str
    models: list[ModelUsageResponse]


class UsageOfCaller(BaseModel):
    """What the caller has used, and what is left of each budget that applies to them."""

    budgets: list[BudgetResponse]
    period: UsagePeriod
    currency: str
    time_zone: str


def usage_router(services: Services) -> APIRouter:
    """The router of usage."""
    router = APIRouter(prefix="/chatkit", tags=["usage"])

    @router.get("/usage")
    async def get_usage(  # pyright: ignore[reportUnusedFunction]
        context: ChatContext, window: Literal["hour", "day", "week", "month"] = "day"
    ) -> UsageOfCaller:
        """What the caller has used of models since the present hour, day, week or month began, and the budgets with the
        times at which they are available again. Budgets of the tenant are shown to callers who have logged in."""
        settings, stores = services.settings, services.runs.stores
        states: Sequence[AccountState] = ()
        if stores.ledger is not None:
            states = await stores.ledger.states(context.identity)
        return UsageOfCaller(
            budgets=[BudgetResponse.of(each) for each in states if _may_see(context.identity, each)],
            period=await _period(services, context.identity, window),
            currency=settings.currency,
            time_zone=settings.time_zone,
        )

    return router


async def _period(services: Services, identity: Identity, window: Window) -> UsagePeriod:
    now, zone, store = utc_now(), services.settings.zone, services.runs.stores.usage
    since = window_start(window, now, zone)
    used: Sequence[CallUsage] = await store.by_model(identity, since) if store is not None else []
    return UsagePeriod(
        window=window,
        starts_at=utc_text(since),
        resets_at=utc_text(window_end(window, now, zone)),
        models=[ModelUsageResponse.of(each) for each in used],
    )


def _may_see(identity: Identity, state: AccountState) -> bool:
    # A visitor is in one tenant with all others, and what they use together is not theirs to know.
    return state.account.scope == "user" or not identity.anonymous


def _amount(unit: Unit, amount: int) -> int | str:
    return amount if unit == "tokens" else money_text(amount)
