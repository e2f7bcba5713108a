"""Agents SDK hooks of one run: write the journal, and report model calls, tool calls and hand-offs."""

from collections.abc import Awaitable, Callable, Mapping
from secrets import token_hex
from time import perf_counter
from typing import Any, Literal, override

from agents import (
    Agent,
    AgentHookContext,
    FunctionTool,
    Handoff,
    Model,
    ModelResponse,
    RunContextWrapper,
    RunHooks,
    Tool,
    TResponseInputItem,
)
from agents.items import TResponseOutputItem
from agents.tool_context import ToolContext
from chatkit.types import HiddenContextItem
from openai.types.responses import ResponseReasoningItem

from backchannel.chat.agent.context import AnswerContext
from backchannel.chat.agent.executed_tools import CALL_TYPES
from backchannel.chat.agent.hand_offs import hand_off_request
from backchannel.chat.agent.tool_output import output_text
from backchannel.chat.recovery import journal
from backchannel.context import Usage
from backchannel.hook_dispatcher import HookDispatcher
from backchannel.hooks import HandOff, ModelCall, ToolCall, run_fields


class AnswerHooks(RunHooks[Any]):
    """Hooks of one run. A journal entry is stored before the run continues, so that a crash cannot lose it.

    Args:
        default_model: The name reported for agents that do not set a model.
        prepare: Is called with each agent before its first model call.
        model: The model of all agents, whichever they have themselves.
    """

    def __init__(
        self,
        context: AnswerContext,
        hooks: HookDispatcher,
        default_model: str,
        prepare: Callable[[Agent[Any]], Awaitable[None]] | None = None,
        model: str | Model | None = None,
    ) -> None:
        self._context = context
        self._prepare = prepare
        self._hooks = hooks
        self._default_model = default_model
        self._model = model
        self._journaled: dict[str, HiddenContextItem] = {}
        self._reasoning: dict[str, list[dict[str, Any]]] = {}
        self._responses: dict[str, str] = {}
        self._client_calls = 0
        self._output: dict[str, list[TResponseOutputItem]] = {}
        self._model_calls: dict[str, tuple[Agent[Any], float]] = {}
        self._tool_calls: dict[str, tuple[Agent[Any], str, float]] = {}
        self._restored: dict[str, HiddenContextItem] = {}

    def restore(self, request: journal.ApprovalRequest, journaled: Mapping[str, HiddenContextItem]) -> None:
        """Go on with a run that waited for approval.

        Args:
            journaled: The items of calls that the run makes again although they are in the journal, by the call's id.
        """
        for call in request.calls:
            if call.kind == "function":
                self._reasoning[call.agent] = request.reasoning
                if request.response is not None:
                    self._responses[call.agent] = request.response
        self._restored.update(journaled)
        # The SDK does not report the start of an agent that is a tool a second time.
        self._journaled.update(journaled)

    def last_response(self, agent: str) -> tuple[str | None, list[dict[str, Any]]]:
        """The id of the last response to an agent, and the reasoning that no call of it has in the journal yet."""
        return self._responses.get(agent), self._reasoning.get(agent, [])

    @override
    async def on_agent_start(self, context: AgentHookContext[Any], agent: Agent[Any]) -> None:
        if self._prepare is not None:
            await self._prepare(agent)

    @override
    async def on_llm_start(
        self,
        context: RunContextWrapper[Any],
        agent: Agent[Any],
        system_prompt: str | None,
        input_items: list[TResponseInputItem],
    ) -> None:
        self._model_calls[agent.name] = (agent, perf_counter())

    @override
    async def on_llm_end(
        self, context: RunContextWrapper[Any], agent: Agent[Any], response: ModelResponse
    ) -> None:
        used = response.usage
        usage = Usage(used.requests, used.input_tokens, used.output_tokens)
        self._end_model_call(agent.name, usage, "completed")
        self._responses[agent.name] = token_hex(4)
        self._output[agent.name] = response.output
        self._reasoning[agent.name] = [
            item.model_dump(mode="json", exclude_none=True)
            for item in response.output
            if isinstance(item, ResponseReasoningItem) and getattr(item, "provider_data", None)
        ]

    @override
    async def on_tool_start(self, context: RunContextWrapper[Any], agent: Agent[Any], tool: Tool) -> None:
        # `executed_calls` reports the calls of tools that are no functions.
        if isinstance(context, ToolContext) and isinstance(tool, FunctionTool):
            call = journal.ToolCall(
                call_id=context.tool_call_id,
                name=context.tool_name,
                arguments=context.tool_arguments,
                provider_data=provider_data(context.tool_call),
            )
            await self.call_started(agent, call)

    @override
    async def on_tool_end(
        self, context: RunContextWrapper[Any], agent: Agent[Any], tool: Tool, result: object
    ) -> None:
        if isinstance(context, ToolContext) and isinstance(tool, FunctionTool):
            await self.call_ended(context.tool_call_id, output_text(result))

    async def call_started(self, agent: Agent[Any], call: journal.ToolCall) -> None:
        """Journal a call whose tool is about to run."""
        if (restored := self._restored.pop(call.call_id, None)) is not None:
            self._journaled[call.call_id] = restored
        else:
            # With the first call of a response.
            call.reasoning = self._reasoning.pop(agent.name, [])
            call.response = self._responses.get(agent.name)
            output = self._output.get(agent.name, ())
            call.response_calls = sum(each.type in CALL_TYPES for each in output)
            item = journal.to_item(call, self._context.thread.id)
            self._journaled[call.call_id] = item
            await self._context.write_journal(item)
        self._tool_calls[call.call_id] = (agent, call.name, perf_counter())

    async def call_ended(self, call_id: str, output: str) -> None:
        """Journal what the tool of a call returned."""
        self._end_tool_call(call_id, "returned")
        self._restored.pop(call_id, None)
        item = self._journaled.get(call_id)
        if item is not None:
            failed = call_id in self._context.failed_calls
            # Of this call, or of another one that runs at the same time.
            requested, made = (
                self._context.client_calls[self._client_calls :],
                len(self._context.client_calls),
            )
            self._client_calls = made
            client_calls = [
                journal.ClientRequest(name=each.name, arguments=each.arguments) for each in requested
            ]
            await self._context.write_journal(
                journal.with_output(item, output, failed=failed, client_calls=client_calls)
            )

    @override
    async def on_handoff(
        self, context: RunContextWrapper[Any], from_agent: Agent[Any], to_agent: Agent[Any]
    ) -> None:
        call = hand_off_request(from_agent, to_agent, self._output.get(from_agent.name, ()))
        entry = journal.HandOff(
            agent=to_agent.name,
            tool=call.name if call else Handoff.default_tool_name(to_agent),
            call_id=call.call_id if call else None,
            arguments=call.arguments if call else "{}",
            provider_data=provider_data(call),
            reasoning=self._reasoning.pop(from_agent.name, []),
            response=self._responses.get(from_agent.name),
        )
        await self._context.write_journal(journal.to_item(entry, self._context.thread.id))
        self._hooks.emit(HandOff(**self._fields(), from_agent=from_agent.name, to_agent=to_agent.name))

    def close(self, outcome: Literal["failed", "cancelled"]) -> None:
        """Report the calls that the end of the run interrupted. The SDK has no hooks for those."""
        for name in list(self._model_calls):
            self._end_model_call(name, Usage(), outcome)
        for call_id in list(self._tool_calls):
            self._end_tool_call(call_id, "cut_off")

    def _end_model_call(
        self, name: str, usage: Usage, outcome: Literal["completed", "failed", "cancelled"]
    ) -> None:
        call = self._model_calls.pop(name, None)
        if call is None or not self._hooks.listens(ModelCall):
            return
        agent, began = call
        self._hooks.emit(
            ModelCall(
                **self._fields(),
                agent=name,
                model=_model_name(self._model or agent.model, self._default_model),
                usage=usage,
                seconds=perf_counter() - began,
                outcome=outcome,
            )
        )

    def _end_tool_call(self, call_id: str, outcome: Literal["returned", "cut_off"]) -> None:
        call = self._tool_calls.pop(call_id, None)
        if call is None or not self._hooks.listens(ToolCall):
            return
        agent, tool, began = call
        self._hooks.emit(
            ToolCall(
                **self._fields(),
                agent=agent.name,
                tool=tool,
                call_id=call_id,
                seconds=perf_counter() - began,
                outcome=outcome,
            )
        )

    def _fields(self) -> dict[str, Any]:
        return run_fields(self._context.request_context, self._context.thread.id)


def provider_data(call: object) -> dict[str, Any] | None:
    """What the provider expects back with a call; `None` if that is nothing."""
    data: dict[str, Any] = getattr(call, "provider_data", None) or {}
    # The Agents SDK adds these two to every call of Chat Completions.
    return data if data.keys() - {"model", "response_id"} else None


def _model_name(model: str | Model | None, default: str) -> str:
    if model is None or isinstance(model, str):
        return model or default
    name = getattr(model, "model", None)
    return name if isinstance(name, str) else type(model).__name__
