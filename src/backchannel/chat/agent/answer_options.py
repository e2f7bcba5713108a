"""Options for answering with an agent."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from agents import ModelProvider, RunConfig, RunErrorHandlers
from chatkit.actions import Action
from chatkit.agents import ThreadItemConverter
from chatkit.types import SyncCustomActionResponse, ThreadMetadata, ThreadStreamEvent, WidgetItem

from backchannel.chat.agent.converter import HistoryConverter
from backchannel.chat.agent.mcp_tools import mcp_call_reports
from backchannel.chat.agent.rendering import OutputRenderer
from backchannel.chat.agent.run_configs import RunConfigFactory
from backchannel.files.model_parts import ModelParts
from backchannel.hook_dispatcher import HookDispatcher
from backchannel.mcp.servers import McpServers
from backchannel.model_calls.metering import NO_METERING, Metering
from backchannel.model_calls.timeouts import ModelTimeouts

type WhileWaiting = Literal["decline", "reject"]

type ActionHandler = Callable[
    [ThreadMetadata, Action[str, Any], WidgetItem | None, Any], AsyncGenerator[ThreadStreamEvent]
]
"""Handles a widget action by streaming events: an async generator function with the parameters of
`ChatKitServer.action`: the thread, the action, the widget's item (or `None`) and the `RequestContext`."""

type SyncActionHandler = Callable[
    [ThreadMetadata, Action[str, Any], WidgetItem | None, Any], Awaitable[SyncCustomActionResponse | None]
]
"""Handles a widget action with a direct response, also during a run of the thread: an async function with the
parameters of `ChatKitServer.sync_action`."""


@dataclass(frozen=True, slots=True)
class AnswerOptions:
    """Options for running an agent.

    Attributes:
        model_provider: Resolves model names, and the default model.
        max_turns: The most model calls per answer.
        history_tokens: The approximate number of tokens of earlier conversation in the model's input.
        converter: Converts thread items to model input.
        titles: Whether a model generates thread titles, in place of the first line of the message.
        title_model: The name of that model; `None` for the provider's default.
        default_model: The name of the provider's default model, for hook events.
        actions: Streaming handlers of widget actions, by action type.
        sync_actions: Synchronous handlers of widget actions, by action type.
        hooks: Receives model calls, tool calls and hand-offs.
        timeouts: How long a model may take.
        metering: How its calls are metered.
        render_output: Renders final answers that are no text.
        models: The names of the models that people may choose for an answer.
        while_waiting: What happens to a message to a thread in which calls of tools wait for approval: it declines
            them, or it is refused.
        remember_agent: After a hand-off, the agent that answered last also answers the next message.
        mcp_servers: Connects the MCP servers of agents.
        run_config: The application's configuration of runs, or its function that makes one for each.
        error_handlers: What is answered in place of an error, by its kind.
        model_parts: Makes what models get of attachments; `None` if the server has no files of its own.
    """

    model_provider: ModelProvider
    max_turns: int = 20
    history_tokens: int = 32_000
    converter: ThreadItemConverter = field(default_factory=HistoryConverter)
    titles: bool = False
    title_model: str | None = None
    default_model: str = "default"
    actions: Mapping[str, ActionHandler] = field(default_factory=dict[str, ActionHandler])
    sync_actions: Mapping[str, SyncActionHandler] = field(default_factory=dict[str, SyncActionHandler])
    hooks: HookDispatcher = field(default_factory=HookDispatcher)
    timeouts: ModelTimeouts = field(default_factory=ModelTimeouts)
    metering: Metering = NO_METERING
    render_output: OutputRenderer | None = None
    models: Collection[str] = ()
    while_waiting: WhileWaiting = "decline"
    remember_agent: bool = False
    mcp_servers: McpServers = field(default_factory=lambda: McpServers(mcp_call_reports()))
    run_config: RunConfig | RunConfigFactory | None = None
    error_handlers: RunErrorHandlers[Any] | None = None
    model_parts: ModelParts | None = None
