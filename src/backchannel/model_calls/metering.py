"""What calls of models use: reserved before, counted while they stream where there is a budget, and booked after."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Any, cast

import structlog
from agents import FunctionTool, ModelSettings

from backchannel.budgets.base import Caller, Ledger, Reservation, UsageStore
from backchannel.budgets.grants import Demand
from backchannel.budgets.prices import FREE, Price, Prices
from backchannel.budgets.scope import ChargeScope, current_scope
from backchannel.context import CallUsage
from backchannel.errors import BudgetExceededError, UnavailableError
from backchannel.model_calls.tokens import estimate_tokens, weigh
from backchannel.models.token_counts import count
from backchannel.retry import Backoff

log = structlog.get_logger(__name__)

OUTPUT_TOKENS = 2_000
"""The default of `BUDGET_OUTPUT_TOKENS`."""

MAX_REPORTED = 100_000_000
"""A report of more tokens for one call is a mistake of the endpoint: no model has a context that large. It is replaced
by an estimate, because it would use up any budget."""

WAIT_SECONDS = 20.0
"""How long a call waits for what calls in progress may give back of their reservations."""

_POLL = Backoff(initial=0.05, maximum=1.0)

MARGIN_SECONDS = 120.0
"""For how much longer than a call may take its reservation is valid: clocks of machines differ."""

ITEM_TOKENS = 8
"""For the role and the ends of a message. They are three or four
(https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken); an estimate that is too low could exceed a
budget by as many tokens for each call in progress, and what is reserved in excess is given back."""

PICTURE_TOKENS = 1_000
"""For a picture or a file in the input, whatever the size of its data."""

TOOL_TOKENS = 100
"""For a tool whose definition is not known here."""


_UNREAD = {"type", "role", "id", "call_id", "status", "encrypted_content", "provider_data", "phase", "detail"}
"""Fields of input items that hold no words."""


@dataclass(frozen=True, slots=True)
class Metering:
    """How calls are metered.

    Attributes:
        ledger: Where there are budgets.
        usage: Stores what is used after the end of a run, such as by a title.
        output_tokens: The output for which a call reserves at first, unless its settings allow less.
        seconds: How long a call may take.
    """

    prices: Prices = field(default_factory=lambda: Prices({}))
    ledger: Ledger | None = None
    usage: UsageStore | None = None
    output_tokens: int = OUTPUT_TOKENS
    seconds: float = 1800


NO_METERING = Metering()


@dataclass(frozen=True, slots=True)
class Report:
    """The tokens that a provider reports for a call; 0 for what it does not say."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0

    @classmethod
    def of(cls, usage: object) -> "Report":
        """What a usage of the Responses API, or of the Agents SDK, says; nothing of what no call can have used."""
        details: object = getattr(usage, "input_tokens_details", None)
        amounts = (
            count(getattr(usage, "input_tokens", None)),
            count(getattr(usage, "output_tokens", None)),
            count(getattr(details, "cached_tokens", None)),
        )
        return cls(*(0 if each > MAX_REPORTED else each for each in amounts))


class CallMeter:
    """The meter of one attempt of a call.

    Attributes:
        limited: Whether the output must be counted while it comes, because there is a budget.
    """

    limited = False

    def __init__(
        self, metering: Metering, scope: ChargeScope, model: str, estimate_input: Callable[[], int]
    ) -> None:
        self._metering = metering
        self._scope = scope
        self._model = model
        self._estimate_input = estimate_input
        self._closed = asyncio.get_running_loop().create_future()
        if scope.purpose != "title":
            # An answer never waits for its title.
            scope.usage.in_progress.add(self._closed)

    async def count(self, text: str) -> None:
        """Count a piece of output. Nothing is counted without a budget."""

    async def close(self, report: Report, written: str | None) -> None:
        """Book what the call has used.

        Args:
            report: What the provider says.
            written: What the model has written, for an estimate of what it does not say; `None` if the provider refused
                the call, which then costs nothing.
        """
        try:
            used = self._used(report, written)
            if used is not None:
                scope, usage = self._scope, self._metering.usage
                by_run = usage is None or (scope.run_id != "" and not scope.usage.closed)
                scope.usage.record(used, stored=not by_run)
                if usage is not None and not by_run:
                    await _detached(scope, lambda: usage.add(scope.identity, scope.run_id, [used]))
        finally:
            self._finish()

    def _finish(self) -> None:
        self._scope.usage.in_progress.discard(self._closed)
        if not self._closed.done():
            self._closed.set_result(None)

    def _used(self, report: Report, written: str | None) -> CallUsage | None:
        if written is None and not (report.input_tokens or report.output_tokens):
            return None
        sent = report.input_tokens or self._estimate_input()
        received = report.output_tokens or self._estimate_output(written or "")
        price = _price(self._metering, self._model)
        cached = min(report.cached_tokens, sent)
        cost = None if price is None else price.cost(sent, received, cached)
        return CallUsage(self._model, self._scope.purpose, 1, sent, received, cached, cost)

    def _estimate_output(self, written: str) -> int:
        return estimate_tokens(written) if written.strip() else 0


class LimitedCallMeter(CallMeter):
    """The meter of a call for which a part of budgets is reserved."""

    limited = True

    def __init__(
        self,
        metering: Metering,
        scope: ChargeScope,
        model: str,
        estimate_input: Callable[[], int],
        ledger: Ledger,
        reservation: Reservation,
    ) -> None:
        super().__init__(metering, scope, model, estimate_input)
        self._ledger = ledger
        self._reservation = reservation
        self._counted = 0.0

    @property
    def granted(self) -> int:
        """For how many tokens of output something is reserved."""
        return self._reservation.demand.output_tokens

    async def count(self, text: str) -> None:
        """Count a piece of output, and reserve more if it exceeds what is reserved.

        Raises:
            BudgetExceededError: Nothing is left, and the piece must not be shown. It is not counted.
        """
        self._counted += (weight := weigh(text))
        while self._counted > self.granted:
            try:
                await _on_server_loop(self._scope, lambda: _retried_while_reserved(self._extend))
            except BaseException:
                self._counted -= weight
                raise

    async def _extend(self) -> None:
        await self._ledger.extend(self._reservation, self._metering.output_tokens)

    async def close(self, report: Report, written: str | None) -> None:
        # For a call that was refused, nothing.
        used = self._used(report, written) or CallUsage(self._model, self._scope.purpose, 0)
        if used.requests:
            self._scope.usage.record(used, stored=True)
        try:
            await _detached(self._scope, lambda: self._settle(used))
        finally:
            self._finish()

    async def _settle(self, used: CallUsage) -> None:
        try:
            if not await self._ledger.settle(self._reservation, used):
                log.warning("reservation_was_settled", reservation=self._reservation.id)
        except UnavailableError:
            # It is settled at its input once it has expired.
            log.error("reservation_not_settled", reservation=self._reservation.id, tokens=used.output_tokens)

    def _estimate_output(self, written: str) -> int:
        return ceil(self._counted) or super()._estimate_output(written)


async def open_meter(
    metering: Metering, model: str, settings: ModelSettings, estimate_input: Callable[[], int]
) -> CallMeter | None:
    """The meter of an attempt of a call; `None` if nothing says to whom it is charged. With a budget, waits for at most
    `WAIT_SECONDS` if only calls in progress stand in the way.

    Raises:
        BudgetExceededError: A budget is used up.
        UnavailableError: The ledger cannot be reached.
    """
    scope = current_scope()
    if scope is None:
        return None
    ledger = metering.ledger
    if ledger is None:
        return CallMeter(metering, scope, model, estimate_input)
    sent = estimate_input()
    allowed = (
        settings.max_tokens if isinstance(settings.max_tokens, int) and settings.max_tokens > 0 else None
    )
    output = min(allowed or metering.output_tokens, MAX_REPORTED)
    demand = Demand(sent, output, _price(metering, model) or FREE)
    caller = Caller(scope.identity, scope.run_id, model, scope.purpose)
    seconds = metering.seconds + MARGIN_SECONDS
    reservation = await _on_server_loop(scope, lambda: _reserved(ledger, caller, demand, seconds))
    return LimitedCallMeter(metering, scope, model, lambda: sent, ledger, reservation)


async def _reserved(ledger: Ledger, caller: Caller, demand: Demand, seconds: float) -> Reservation:
    async def reserve() -> Reservation:
        reserving = asyncio.create_task(ledger.reserve(caller, demand, seconds))
        try:
            return await asyncio.shield(reserving)
        except asyncio.CancelledError:
            # What was reserved in the same moment must be given back.
            _keep(asyncio.create_task(_give_back(ledger, reserving)))
            raise

    return await _retried_while_reserved(reserve)


async def _retried_while_reserved[R](work: Callable[[], Awaitable[R]]) -> R:
    """Try for `WAIT_SECONDS`, as long as only reservations of calls in progress stand in the way."""
    loop = asyncio.get_running_loop()
    deadline, looks = loop.time() + WAIT_SECONDS, 0
    while True:
        try:
            return await work()
        except BudgetExceededError as error:
            looks += 1
            if not error.allow_retry or loop.time() >= deadline:
                raise
        await asyncio.sleep(_POLL.delay(looks))


async def _give_back(ledger: Ledger, reserving: asyncio.Task[Reservation]) -> None:
    try:
        reservation = await reserving
        none = CallUsage(reservation.caller.model, reservation.caller.purpose, 0)
        await ledger.settle(reservation, none)
    except (BudgetExceededError, UnavailableError):
        pass


def _price(metering: Metering, model: str) -> Price | None:
    return metering.prices.of(model) if metering.prices else None


def limited_settings(settings: ModelSettings, meter: CallMeter | None) -> ModelSettings:
    """The settings of a call that is not streamed, and so cannot be cut off: with the output for which something is
    reserved, if that is less than the call may have."""
    if not isinstance(meter, LimitedCallMeter):
        return settings
    allowed = settings.max_tokens
    return settings if allowed == meter.granted else replace(settings, max_tokens=meter.granted)


def input_tokens(
    instructions: str | None, items: Sequence[Any], tools: Sequence[Any], handoffs: Sequence[Any], schema: Any
) -> int:
    """About how many tokens the input of a call is, with the definitions of its tools."""
    total = estimate_tokens(instructions or "") + sum(ITEM_TOKENS + _words_of(item) for item in items)
    for tool in tools:
        if isinstance(tool, FunctionTool):
            total += estimate_tokens(f"{tool.name}{tool.description}{_json(tool.params_json_schema)}")
        else:
            total += TOOL_TOKENS
    for each in handoffs:
        total += estimate_tokens(f"{each.tool_name}{each.tool_description}{_json(each.input_json_schema)}")
    if schema is not None and not schema.is_plain_text():
        total += estimate_tokens(_json(schema.json_schema()))
    return total


def _words_of(value: object) -> int:
    """About how many tokens what a model reads of an input item is: not the names of its fields, nor its ids."""
    match value:
        case str():
            return PICTURE_TOKENS if value.startswith("data:") else estimate_tokens(value)
        case dict():
            fields = cast("dict[object, object]", value)
            return sum(_words_of(each) for name, each in fields.items() if name not in _UNREAD)
        case list() | tuple():
            return sum(map(_words_of, cast("Sequence[object]", value)))
        case _:
            return 0


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


async def _on_server_loop[R](scope: ChargeScope, work: Callable[[], Awaitable[R]]) -> R:
    """Await something that uses connections of the server, in its event loop."""
    if asyncio.get_running_loop() is scope.loop:
        return await work()

    async def working() -> R:
        return await work()

    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(working(), scope.loop))


_kept: set[asyncio.Task[Any]] = set()


def _keep(task: asyncio.Task[Any]) -> None:
    _kept.add(task)
    task.add_done_callback(_kept.discard)


async def _detached(scope: ChargeScope, work: Callable[[], Awaitable[Any]]) -> None:
    """Await something that is done to its end even if the waiting task is cancelled."""

    async def working() -> None:
        try:
            await _on_server_loop(scope, work)
        except UnavailableError:
            log.error("usage_not_stored", run_id=scope.run_id)

    task = asyncio.create_task(working())
    _keep(task)
    await asyncio.shield(task)
