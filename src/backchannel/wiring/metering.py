"""What calls of models are charged to."""

from agents import Model
from agents.models.default_models import get_default_model

from backchannel.application import Application
from backchannel.errors import ConfigurationError
from backchannel.model_calls.metering import NO_METERING, Metering
from backchannel.settings import Settings
from backchannel.stores.sql.budget_accounts import SqlLedger
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.usage import SqlUsage
from backchannel.wiring.answering import model_provider


def make_metering(settings: Settings, application: Application, database: Database) -> Metering:
    """How the calls of an agent's models are metered.

    Raises:
        ConfigurationError: There is a budget of money, and a model without a price.
    """
    named = _named_models(settings, application)
    if (problem := settings.unpriced(named)) is not None:
        raise ConfigurationError(problem)
    budgets = settings.budgets
    ledger = SqlLedger(database, budgets, settings.zone, settings.currency) if budgets else None
    return Metering(
        settings.prices,
        ledger,
        SqlUsage(database),
        settings.budget_output_tokens,
        settings.model_total_seconds,
    )


def no_metering(settings: Settings) -> Metering:
    """For a `ChatKitServer` of the application, which calls models itself.

    Raises:
        ConfigurationError: There is a budget, which nothing would be charged to.
    """
    if settings.budgets:
        raise ConfigurationError(
            "BACKCHANNEL_TOKEN_BUDGET and BACKCHANNEL_MONEY_BUDGET need an agent: a ChatKitServer of your own calls "
            "models itself, and nothing would be charged to them"
        )
    return NO_METERING


def _named_models(settings: Settings, application: Application) -> list[str]:
    """The models that the agent and the Agents SDK name. Others are found when they are called."""
    agent = application.agent
    named = agent.model if agent is not None else None
    if isinstance(named, Model):
        name = getattr(named, "model", None)
        return [name] if isinstance(name, str) else []
    if named:
        return [] if named == "offline" else [named]
    if model_provider(application) is None and not settings.offline and settings.model is None:
        return [get_default_model()]
    return []
