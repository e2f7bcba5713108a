"""What a person chose for the answer to a message: its model, and the tool that is called first.

ChatKit's composer sends both as the message's `inference_options`. They are stored with the message, so that a retry, a
run that has waited, and one that another process resumes have them too.
"""

from collections.abc import Awaitable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, override

import structlog
from agents import Agent, HostedMCPTool, Model, ModelProvider, ModelSettings, RunConfig, RunContextWrapper
from agents.run_config import CallModelData, ModelInputData
from chatkit.types import ClientToolCallItem, InferenceOptions, ThreadItem, UserMessageItem

from backchannel.chat.recovery import journal
from backchannel.errors import InvalidInputError

log = structlog.get_logger(__name__)


def check_choices(options: InferenceOptions, agent: Agent[Any], models: Collection[str]) -> None:
    """Check what a new message chooses.

    Args:
        agent: The agent that answers messages. A tool must be one of its own; those of MCP servers cannot be chosen.
        models: The names of the models that may be chosen.

    Raises:
        InvalidInputError: The model or the tool is none of these.
    """
    if options.model and options.model not in models:
        raise InvalidInputError(_refusal("model", options.model, "inference_options.model", sorted(models)))
    if options.tool_choice is not None:
        name, tools = options.tool_choice.id, sorted(_tool_names(agent))
        if name not in tools:
            raise InvalidInputError(_refusal("tool", name, "inference_options.tool_choice", tools))


@dataclass(frozen=True, slots=True)
class Choices:
    """The choices for the answer to the newest message.

    Attributes:
        model: The name of the model in place of the default one. The agent that answers messages has it in any case;
            other agents have it unless they have a model of their own.
        tool: The tool that the first model call must call.
    """

    model: str | None = None
    tool: str | None = None

    def entry(self, agent: Agent[Any]) -> Agent[Any]:
        """The agent that answers messages, with the chosen model."""
        if self.model is None or agent.model is None:
            return agent
        return agent.clone(model=self.model)

    def apply(self, config: RunConfig) -> RunConfig:
        """Apply the choices to the configuration of one run. Modifies and returns it."""
        if self.model is not None:
            config.model_provider = _ChosenModel(config.model_provider, self.model)
            # A model of the configuration would be that of every agent.
            config.model = self.model if config.model is not None else None
        if self.tool is not None:
            settings, edit = config.model_settings, config.call_model_input_filter
            config.model_settings = (settings or ModelSettings()).resolve(
                ModelSettings(tool_choice=self.tool)
            )

            def forget(data: CallModelData[Any]) -> ModelInputData | Awaitable[ModelInputData]:
                # The Agents SDK has read the settings of the first call by now. Later calls, also of other agents, are
                # free: otherwise the tool would be called again and again.
                config.model_settings = settings
                return edit(data) if edit is not None else data.model_data

            config.call_model_input_filter = forget
        return config


async def choices_for(
    history: Sequence[ThreadItem], agent: Agent[Any], models: Collection[str], context: Any
) -> Choices:
    """The choices for the answer to the newest message of a thread.

    What cannot be chosen any more, because the settings or the agent have changed since, is not applied: the person
    cannot change a stored message.

    Args:
        history: The thread's items, oldest first.
        context: The context of the agent's tools.
    """
    places = [place for place, item in enumerate(history) if isinstance(item, UserMessageItem)]
    message = history[places[-1]] if places else None
    if not isinstance(message, UserMessageItem):
        return Choices()
    model = message.inference_options.model or None
    if model is not None and model not in models:
        log.warning("model_not_chosen", model=model, reason="it is not in BACKCHANNEL_MODELS")
        model = None
    chosen = message.inference_options.tool_choice
    if chosen is None or any(_is_step(item) for item in history[places[-1] + 1 :]):
        return Choices(model)
    enabled = await agent.get_all_tools(RunContextWrapper(context))
    if chosen.id not in {tool.name for tool in enabled}:
        log.warning(
            "tool_not_chosen", tool=chosen.id, reason="the agent does not have it, or it is not enabled"
        )
        return Choices(model)
    return Choices(model, chosen.id)


class _ChosenModel(ModelProvider):
    """Resolves names with another provider, whose default model it replaces."""

    def __init__(self, provider: ModelProvider, name: str) -> None:
        self._provider = provider
        self._name = name

    @override
    def get_model(self, model_name: str | None) -> Model:
        return self._provider.get_model(model_name or self._name)


def _is_step(item: ThreadItem) -> bool:
    """Whether the first model call of an answer was made before an item came into being."""
    entry = journal.read(item)
    steps = journal.ToolCall | journal.HandOff | journal.ApprovalRequest
    return isinstance(item, ClientToolCallItem) or isinstance(entry, steps)


def _tool_names(agent: Agent[Any]) -> set[str]:
    return {tool.name for tool in agent.tools if not isinstance(tool, HostedMCPTool)}


def _refusal(kind: str, name: str, field: str, names: Sequence[str]) -> str:
    if not names:
        return f"No {kind} can be chosen here: leave {field} out."
    return f"The {kind} {name[:100]!r} cannot be chosen. Leave {field} out, or choose one of: {', '.join(names)}."
