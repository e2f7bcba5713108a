"""The ChatKit server that answers with an agent."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, override

from agents import (
    Agent,
    InputGuardrailTripwireTriggered,
    ModelProvider,
    RunConfig,
    Runner,
    RunResultStreaming,
    RunState,
    TResponseInputItem,
)
from chatkit.actions import Action
from chatkit.agents import ThreadItemConverter
from chatkit.server import ChatKitServer
from chatkit.store import AttachmentStore, Store
from chatkit.types import (
    FeedbackKind,
    InferenceOptions,
    SyncCustomActionResponse,
    ThreadItem,
    ThreadItemDoneEvent,
    ThreadItemRemovedEvent,
    ThreadMetadata,
    ThreadStreamEvent,
    UserMessageItem,
    WidgetItem,
)

from backchannel.chat.agent.answer import stream_answer
from backchannel.chat.agent.approval_flow import ApprovalFlow, forget_state, restore, settle
from backchannel.chat.agent.approvals import PendingApproval, find_pending, load_pending, question_item
from backchannel.chat.agent.choices import Choices, check_choices, choices_for
from backchannel.chat.agent.client_calls import client_call_item
from backchannel.chat.agent.context import AnswerContext
from backchannel.chat.agent.hand_offs import answering_agent
from backchannel.chat.agent.history import (
    HistoryConverter,
    load_history,
    next_client_call,
    to_model_input,
    up_to,
)
from backchannel.chat.agent.interrupted_tools import repeat_call
from backchannel.chat.agent.mcp_tools import McpNotices, mcp_call_reports
from backchannel.chat.agent.rendering import OutputRenderer
from backchannel.chat.agent.run_hooks import AnswerHooks
from backchannel.chat.agent.titles import ThreadTitles
from backchannel.chat.agent.tool_errors import report_tool_error
from backchannel.chat.recovery import journal
from backchannel.chat.recovery.resume_point import ResumePoint, answer_items, find_agent, find_resume_point
from backchannel.context import RequestContext
from backchannel.errors import (
    ConflictError,
    ContentFilterError,
    GuardrailError,
    MessageTooLongError,
    ModelRequestError,
)
from backchannel.hook_dispatcher import HookDispatcher
from backchannel.mcp.servers import McpServers
from backchannel.model_calls.provider import NormalizedModels
from backchannel.model_calls.timeouts import ModelTimeouts
from backchannel.stores.base import KeepsFeedback

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


REFUSALS = (InputGuardrailTripwireTriggered, ContentFilterError, MessageTooLongError, ModelRequestError)
"""Errors that the same message would cause again."""


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
        render_output: Renders final answers that are no text.
        models: The names of the models that people may choose for an answer.
        while_waiting: What happens to a message to a thread in which calls of tools wait for approval: it declines
            them, or it is refused.
        remember_agent: After a hand-off, the agent that answered last also answers the next message.
        mcp_servers: Connects the MCP servers of agents.
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
    render_output: OutputRenderer | None = None
    models: Collection[str] = ()
    while_waiting: WhileWaiting = "decline"
    remember_agent: bool = False
    mcp_servers: McpServers = field(default_factory=lambda: McpServers(mcp_call_reports()))


class ChatServer(ChatKitServer[RequestContext]):
    """Answers every message, tool output, structured input and retry by running `agent`.

    Tools get the SDK's `AgentContext` as `ctx.context`; the caller's `RequestContext` is
    `ctx.context.request_context`.
    """

    def __init__(
        self,
        agent: Agent[Any],
        store: Store[Any],
        options: AnswerOptions,
        attachment_store: AttachmentStore[Any] | None = None,
    ) -> None:
        super().__init__(store, attachment_store)
        self.agent = agent
        self.options = options
        self._models = NormalizedModels(options.model_provider, options.timeouts)
        options.mcp_servers.adopt_first(agent)
        self._titles = ThreadTitles(store, self._models, generate=options.titles, model=options.title_model)

    @override
    async def respond(
        self,
        thread: ThreadMetadata,
        input_user_message: UserMessageItem | None,
        context: RequestContext,
    ) -> AsyncIterator[ThreadStreamEvent]:
        async with (
            self._titles.titled(thread, input_user_message, context),
            aclosing(self._answer(thread, context, self.agent)) as events,
        ):
            async for event in events:
                yield event

    async def resume(
        self,
        thread: ThreadMetadata,
        input_user_message: UserMessageItem | None,
        began_after: str,
        context: RequestContext,
    ) -> AsyncIterator[ThreadStreamEvent]:
        """Resume an interrupted answer at the end of its journal; see `chat.turn.Resumable`."""
        items = await answer_items(self.store, thread.id, began_after, context)
        point = find_resume_point(items, self.agent)
        async with (
            self._titles.titled(thread, input_user_message, context),
            aclosing(self._resume_at(thread, context, point)) as events,
        ):
            async for event in events:
                yield event

    def action_types(self, *, sync: bool) -> Collection[str]:
        """The types of widget actions that have a handler; see `chat.turn.KnowsActions`."""
        return self.options.sync_actions.keys() if sync else self.options.actions.keys()

    def check_options(self, options: InferenceOptions) -> None:
        """Check what a message chooses; see `chat.turn.ChecksOptions`."""
        check_choices(options, self.agent, self.options.models)

    async def check_thread(self, thread: ThreadMetadata, context: RequestContext) -> None:
        """Check that no call of a tool waits for approval; see `chat.turn.ChecksThreads`."""
        if self.options.while_waiting == "reject" and await load_pending(self.store, thread.id, context):
            raise ConflictError("This conversation waits for your decision. Approve or decline first.")

    @override
    async def action(
        self,
        thread: ThreadMetadata,
        action: Action[str, Any],
        sender: WidgetItem | None,
        context: RequestContext,
    ) -> AsyncIterator[ThreadStreamEvent]:
        async with aclosing(self.options.actions[action.type](thread, action, sender, context)) as events:
            async for event in events:
                yield event

    @override
    async def sync_action(
        self,
        thread: ThreadMetadata,
        action: Action[str, Any],
        sender: WidgetItem | None,
        context: RequestContext,
    ) -> SyncCustomActionResponse:
        response = await self.options.sync_actions[action.type](thread, action, sender, context)
        return response or SyncCustomActionResponse()

    async def _resume_at(
        self, thread: ThreadMetadata, context: RequestContext, point: ResumePoint
    ) -> AsyncGenerator[ThreadStreamEvent]:
        for item_id in point.discarded:
            yield ThreadItemRemovedEvent(item_id=item_id)
        if point.complete:
            return
        answer = self._context(thread, context)
        for item in point.interrupted_calls:
            completed = await repeat_call(item, point.agent, answer, self._run_config(thread, context))
            if completed is not None:
                yield ThreadItemDoneEvent(item=completed)
        async with aclosing(self._answer(thread, context, point.agent)) as events:
            async for event in events:
                yield event

    async def _answer(
        self, thread: ThreadMetadata, context: RequestContext, agent: Agent[Any]
    ) -> AsyncGenerator[ThreadStreamEvent]:
        history = await self._history(thread, context)
        if (queued := next_client_call(history)) is not None:
            yield ThreadItemDoneEvent(item=client_call_item(queued, thread.id))
            return
        # Tools take the caller from the context, so model output cannot choose whose rows they access.
        answer = self._context(thread, context)
        choices = await choices_for(history, self.agent, self.options.models, answer)
        entry = choices.entry(self.agent)
        prepare = partial(self._prepare, McpNotices(self.options.mcp_servers, answer))
        hooks = AnswerHooks(answer, self.options.hooks, choices.model or self.options.default_model, prepare)
        pending = find_pending(history)
        if pending is not None and pending.current and pending.question is None:
            # The process died before the question was stored.
            yield ThreadItemDoneEvent(item=question_item(pending.request, thread))
            return
        if agent is self.agent and choices.tool is None:
            agent, remembered = await answering_agent(
                self.store, thread.id, context, history, agent, remember=self.options.remember_agent
            )
            if remembered:
                begins = journal.AnsweringAgent(agent=agent.name)
                yield ThreadItemDoneEvent(item=journal.to_item(begins, thread.id))
        state = None
        if pending is not None:
            for event in settle(pending, thread, context):
                yield event
            began_with = up_to(history, pending.request.input_until)
            began_with = await to_model_input(began_with, self.options.converter)
            await self.options.mcp_servers.listed(entry)
            state = await restore(pending, entry, began_with, answer, hooks)
            if state is None:
                history = await self._history(thread, context)
        start = partial(self._start, choices, answer, hooks)
        if state is not None and pending is not None:
            request = pending.request
            result, decided, input_until = (
                start(self._first_agent(pending, entry), state),
                request.calls,
                request.input_until,
            )
        else:
            input_until = history[-1].id if history else ""
            first = entry if agent is self.agent else agent
            result, decided = start(first, await to_model_input(history, self.options.converter)), []
        flow = ApprovalFlow(answer, hooks, input_until, partial(start, entry))
        # Close it explicitly and not by garbage collection: closing stops the model.
        async with aclosing(stream_answer(answer, result, hooks, flow, decided)) as events:
            try:
                async for event in events:
                    yield event
            except REFUSALS as error:
                # Otherwise the message would be in every later input, and refused each time.
                refused = journal.RefusedTurn(code=getattr(error, "code", GuardrailError.code))
                yield ThreadItemDoneEvent(item=journal.to_item(refused, thread.id))
                raise
        if pending is not None and pending.current:
            yield forget_state(pending)

    async def _history(self, thread: ThreadMetadata, context: RequestContext) -> list[ThreadItem]:
        return await load_history(self.store, thread.id, context, max_tokens=self.options.history_tokens)

    def _first_agent(self, pending: PendingApproval, entry: Agent[Any]) -> Agent[Any]:
        """The agent that began the run, after the one that goes on is prepared."""
        current: object = (pending.request.state or {}).get("current_agent", {}).get("name")
        self._models.prepare(find_agent(entry, str(current)))
        return entry

    async def _prepare(self, notices: McpNotices, agent: Agent[Any]) -> None:
        self._models.prepare(agent)
        await notices.prepare(agent)

    def _start(
        self,
        choices: Choices,
        answer: AnswerContext,
        hooks: AnswerHooks,
        agent: Agent[Any],
        run_input: list[TResponseInputItem] | RunState[Any, Agent[Any]],
    ) -> RunResultStreaming:
        self._models.prepare(agent)
        answer.run_config = self._run_config(answer.thread, answer.request_context)
        config = choices.apply(self._run_config(answer.thread, answer.request_context))
        # The Agents SDK checks with those of the agent that begins the run.
        config.input_guardrails = [
            each for each in self.agent.input_guardrails if each not in agent.input_guardrails
        ]
        return Runner.run_streamed(
            agent,
            run_input,
            context=answer,
            hooks=hooks,
            max_turns=self.options.max_turns,
            run_config=config,
        )

    @override
    async def add_feedback(
        self, thread_id: str, item_ids: list[str], feedback: FeedbackKind, context: RequestContext
    ) -> None:
        if isinstance(self.store, KeepsFeedback):
            await self.store.save_feedback(thread_id, item_ids, feedback, context)

    def _context(self, thread: ThreadMetadata, context: RequestContext) -> AnswerContext:
        return AnswerContext(
            thread=thread, store=self.store, request_context=context, render_output=self.options.render_output
        )

    def _run_config(self, thread: ThreadMetadata, context: RequestContext) -> RunConfig:
        return RunConfig(
            model_provider=self._models,
            workflow_name=self.agent.name,
            group_id=thread.id,
            trace_metadata={"request_id": context.request_id, "run_id": context.run_id or ""},
            trace_include_sensitive_data=False,
            # A call of an unknown tool returns an error to the model instead of failing the answer.
            tool_not_found_behavior="return_error_to_model",
            tool_error_formatter=report_tool_error,
        )
