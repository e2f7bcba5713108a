"""The ChatKit server that answers."""

from typing import Any

from agents import Agent, ModelProvider
from chatkit.server import ChatKitServer
from chatkit.store import AttachmentStore

from backchannel.application import Application
from backchannel.chat.agent.answer_options import AnswerOptions
from backchannel.chat.agent.converter import HistoryConverter
from backchannel.chat.agent.mcp_tools import mcp_call_reports
from backchannel.chat.agent.run_configs import own_provider
from backchannel.chat.agent.server import ChatServer
from backchannel.errors import BackchannelError
from backchannel.files.attachments import FileAttachments
from backchannel.files.model_parts import ModelParts
from backchannel.hook_dispatcher import HookDispatcher
from backchannel.mcp.configuration import load_mcp_servers
from backchannel.mcp.servers import McpServers
from backchannel.model_calls.metering import NO_METERING, Metering
from backchannel.model_calls.timeouts import ModelTimeouts
from backchannel.models.provider import Models, quiet_litellm
from backchannel.models.sdk_defaults import default_client
from backchannel.settings import Settings
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.store import SqlStore
from backchannel.wiring.resolve import arguments_of, failed


def chat_server(
    settings: Settings,
    application: Application,
    agent: Agent[Any],
    models: Any,
    store: SqlStore,
    hooks: HookDispatcher,
    metering: Metering = NO_METERING,
    attachments: FileAttachments | None = None,
) -> ChatServer:
    """The server that answers with the agent of an application."""
    offline_titles = settings.offline and settings.title_model is None and model_provider(application) is None
    configured = load_mcp_servers(settings.mcp_servers) if settings.mcp_servers is not None else ()
    options = AnswerOptions(
        models,
        settings.max_turns,
        settings.history_tokens,
        converter=application.converter or HistoryConverter(),
        titles=settings.titles == "model" and not offline_titles,
        title_model=settings.title_model,
        default_model=model_name(settings, application),
        actions=application.actions,
        sync_actions=application.sync_actions,
        hooks=hooks,
        timeouts=ModelTimeouts(
            settings.model_first_byte_seconds,
            settings.model_between_bytes_seconds,
            settings.model_total_seconds,
        ),
        metering=metering,
        render_output=application.render_output,
        models=settings.models,
        while_waiting=settings.while_waiting,
        remember_agent=settings.after_hand_off == "last-agent",
        mcp_servers=McpServers(mcp_call_reports(), configured),
        run_config=application.run_config,
        error_handlers=application.error_handlers,
        model_parts=None if attachments is None else ModelParts(attachments.files, settings.model_inputs),
    )
    return ChatServer(agent, store, options, attachments or application.attachment_store)


def model_provider(application: Application) -> ModelProvider | None:
    """The provider of models that the application brought along, if any."""
    return application.model_provider or own_provider(application.run_config)


def model_name(settings: Settings, application: Application) -> str:
    """The name of the model of agents that name none."""
    if (provider := model_provider(application)) is not None:
        return settings.model or type(provider).__name__
    return "offline" if settings.offline else settings.model or "openai-default"


def models_for(settings: Settings, application: Application) -> Models:
    """The provider of models by the settings.

    Raises:
        ConfigurationError: A setting names a model that cannot be used.
    """
    models = Models(settings, application.offline_model, default_client())
    # An agent may have brought LiteLLM along.
    quiet_litellm()
    named = [("BACKCHANNEL_MODEL", settings.model), ("BACKCHANNEL_TITLE_MODEL", settings.title_model)]
    named += [("BACKCHANNEL_MODELS", name) for name in settings.models]
    for setting, name in named:
        if name is not None:
            models.check(setting, name)
    return models


def own_server(
    settings: Settings,
    application: Application,
    database: Database,
    store: SqlStore,
    attachments: FileAttachments | None = None,
) -> ChatKitServer[Any]:
    """The ChatKit server that an application brought along.

    Raises:
        ConfigurationError: Its class cannot be made.
    """
    served = application.server
    assert served is not None
    if isinstance(served, ChatKitServer):
        return served
    taken: AttachmentStore[Any] | None = attachments or application.attachment_store
    provided = {"store": store, "attachment_store": taken, "database": database, "settings": settings}
    given = arguments_of(served, provided)
    try:
        return served(**given)
    except BackchannelError:
        raise
    except Exception as error:
        raise failed(served, error) from error
