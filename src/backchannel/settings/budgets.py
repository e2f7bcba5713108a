"""Settings of what people may use of models, and of what that costs."""

from collections.abc import Sequence
from functools import cached_property
from zoneinfo import ZoneInfo

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings

from backchannel.budgets.budget import Budget, Scope, Unit, parse_budgets
from backchannel.budgets.prices import Prices, load_prices

_BUDGETS: dict[str, tuple[Scope, Unit]] = {
    "token_budget": ("user", "tokens"),
    "token_budget_tenant": ("tenant", "tokens"),
    "money_budget": ("user", "money"),
    "money_budget_tenant": ("tenant", "money"),
}


class BudgetSettings(BaseSettings):
    """See the module."""

    token_budget: str | None = Field(
        None,
        description="The most tokens, in and out, that a user may use of models within an hour, day, week or month, "
        "such as `200000/day` or `200000/day,2000000/month`. Default: no limit. See docs/howto/limit-use.md.",
    )
    token_budget_tenant: str | None = Field(
        None, description="The same for all users of a tenant together. Default: no limit."
    )
    money_budget: str | None = Field(
        None,
        description="The most money that a user may use of models by MODEL_PRICES, such as `5.00/day`. "
        "Default: no limit.",
    )
    money_budget_tenant: str | None = Field(
        None, description="The same for all users of a tenant together. Default: no limit."
    )
    model_prices: str | None = Field(
        None,
        description="What a million tokens of each model cost, as JSON or the path of a JSON file: "
        '`{"gpt-5.1": {"input": 1.25, "cached_input": 0.125, "output": 10}}`; `*` stands for all other models. '
        "Default: none.",
    )
    currency: str = Field(
        "USD", pattern=r"^[A-Za-z]{3,10}$", description="The currency of prices and budgets, for messages."
    )
    budget_output_tokens: int = Field(
        2_000,
        ge=16,
        le=1_000_000,
        description="The tokens of output that a call of a model reserves of budgets at a time, unless its "
        "`max_tokens` is less.",
    )
    time_zone: str = Field(
        "UTC",
        description="The time zone in which days, weeks and months of budgets begin, such as `Europe/Berlin`.",
    )

    @field_validator(*_BUDGETS)
    @classmethod
    def _check_budget(cls, value: str | None, info: ValidationInfo) -> str | None:
        parse_budgets(value, *_BUDGETS[str(info.field_name)])
        return value

    @field_validator("model_prices")
    @classmethod
    def _check_prices(cls, value: str | None) -> str | None:
        load_prices(value)
        return value

    @field_validator("time_zone")
    @classmethod
    def _check_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, OSError, ValueError):  # a folder, a path, an unknown name
            raise ValueError(_no_zone(value)) from None
        return value

    @property
    def budgets(self) -> Sequence[Budget]:
        """All budgets."""
        return [each for name, what in _BUDGETS.items() for each in parse_budgets(getattr(self, name), *what)]

    @cached_property
    def prices(self) -> Prices:
        """The prices of models, as they were when this was first asked for."""
        return load_prices(self.model_prices)

    @property
    def zone(self) -> ZoneInfo:
        """The time zone."""
        return ZoneInfo(self.time_zone)

    def unpriced(self, models: Sequence[str]) -> str | None:
        """What is wrong with the prices for a budget of money, if anything.

        Args:
            models: The names of the models that will be called, as far as they are known.
        """
        if self.money_budget is None and self.money_budget_tenant is None:
            return None
        budget = "BACKCHANNEL_MONEY_BUDGET" if self.money_budget else "BACKCHANNEL_MONEY_BUDGET_TENANT"
        if not self.prices:
            return f"BACKCHANNEL_MODEL_PRICES must be set, because {budget} is"
        unknown = next((each for each in models if not self.prices.knows(each)), None)
        if unknown is None:
            return None
        return f'BACKCHANNEL_MODEL_PRICES has no price of {unknown}, which {budget} needs: add it, or "*"'


def _no_zone(value: str) -> str:
    return f"{value!r} is not the name of a time zone, such as Europe/Berlin or UTC"
