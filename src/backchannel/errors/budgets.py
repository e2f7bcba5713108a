"""Errors of budgets."""

from backchannel.errors.base import BackchannelError


class BudgetExceededError(BackchannelError):
    """What the caller, or the tenant, may use of models within a window is used up. What the model wrote before is
    stored. `details` says which budget it is, and when it is available again."""

    code = "budget_exceeded"
    status = 429
    allow_retry = False
    text = "The budget for answers is used up. Try again when it is available again."
