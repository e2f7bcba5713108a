"""The ChatKit server that answers with an agent."""

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from contextlib import aclosing
from copy import copy
from functools import partial
from typing import Any, override

from agents import (
    Agent,
    InputGuardrailTripwireTriggered,
    RunConfig,
    Runner,
    RunResultStreaming,
    RunState,
    TResponseInputItem,
)
from chatkit.actions import Action
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

from backchannel.budgets.scope import charged_to
from backchannel.chat.agent.answer import stream_answer
from backchannel.chat.agent.answer_options import AnswerOptions
from backchannel.chat.agent.approval_flow import ApprovalFlow, forget_state, restore, settle
from backchannel.chat.agent.approvals import PendingApproval, find_pending, load_pending, question_item
from backchannel.chat.agent.choices import Choices, check_choices, choices_for
from backchannel.chat.agent.client_calls import client_call_item
from backchannel.chat.agent.context import AnswerContext
from backchannel.chat.agent.file_contents import with_contents
from backchannel.chat.agent.finished_tools import end_answer, final_result
from backchannel.chat.agent.hand_offs import answering_agent
from backchannel.chat.agent.history import (
    load_history,
    next_client_call,
    to_model_input,
    up_to,
)
from backchannel.chat.agent.interrupted_tools import repeat_call
from backchannel.chat.agent.mcp_tools import McpNotices
from backchannel.chat.agent.own_runs import models_for_own_runs, with_models
from backchannel.chat.agent.run_configs import RunConfigs, without_guardrails
from backchannel.chat.agent.run_errors import handlers_for
from backchannel.chat.agent.run_hooks import AnswerHooks
from backchannel.chat.agent.titles import ThreadTitles
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
from backchannel.mcp import reach
from backchannel.model_calls.provider import NormalizedModels
from backchannel.stores.base import KeepsFeedback

REFUSALS = (InputGuardrailTripwireTriggered, ContentFilterError, MessageTooLongError, ModelRequestError)
"""Errors that the same message would cause again."""


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
        self._models = NormalizedModels(options.model_provider, options.timeouts, options.metering)
        self._run_configs = RunConfigs(agent, options.model_provider, self._models, options.run_config)
        options.mcp_servers.adopt_first(agent)
        self._titles = ThreadTitles(store, self._models, generate=options.titles, model=options.title_model)

    @override
    async def respond(
        self,
        thread: ThreadMetadata,
        input_user_message: UserMessageItem | None,
        context: RequestContext,
    ) -> AsyncIterator[ThreadStreamEvent]:
        config = await self._run_configs.make(thread, context)
        async with (
            self._titles.titled(thread, input_user_message, context),
            aclosing(self._answer(thread, context, self.agent, config)) as events,
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
        config = await self._run_configs.make(thread, context)
        point = find_resume_point(items, self.agent, output_guardrails=bool(config.output_guardrails))
        async with (
            self._titles.titled(thread, input_user_message, context),
            aclosing(self._resume_at(thread, context, point, config)) as events,
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
        config = await self._run_configs.make(thread, context)
        handler = self.options.actions[action.type](thread, action, sender, context)
        async with aclosing(with_models(handler, config)) as events:
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
        config = await self._run_configs.make(thread, context)
        with models_for_own_runs(config), charged_to(context):
            response = await self.options.sync_actions[action.type](thread, action, sender, context)
        return response or SyncCustomActionResponse()

    async def _resume_at(
        self, thread: ThreadMetadata, context: RequestContext, point: ResumePoint, config: RunConfig
    ) -> AsyncGenerator[ThreadStreamEvent]:
        for item_id in point.discarded:
            yield ThreadItemRemovedEvent(item_id=item_id)
        if point.complete:
            return
        answer = self._context(thread, context, config)
        last_calls = {item.id: item for item in point.last_calls}
        for item in point.interrupted_calls:
            with models_for_own_runs(config), charged_to(context):
                completed = await repeat_call(item, point.agent, answer, config)
            if completed is not None:
                yield ThreadItemDoneEvent(item=completed)
                last_calls |= {item.id: completed} if item.id in last_calls else {}
        # Output guardrails may not have checked the result: the model is then called again.
        if not (point.agent.output_guardrails or config.output_guardrails):
            calls = list(last_calls.values())
            if (final := await final_result(calls, point.agent, answer)) is not None:
                for event in end_answer(final, calls, point, answer):
                    yield event
                return
        async with aclosing(self._answer(thread, context, point.agent, config)) as events:
            async for event in events:
                yield event

    async def _answer(
        self, thread: ThreadMetadata, context: RequestContext, agent: Agent[Any], config: RunConfig
    ) -> AsyncGenerator[ThreadStreamEvent]:
        history = await self._history(thread, context)
        if (queued := next_client_call(history)) is not None:
            yield ThreadItemDoneEvent(item=client_call_item(queued, thread.id))
            return
        # Tools take the caller from the context, so model output cannot choose whose rows they access.
        answer = self._context(thread, context, config)
        choices = await choices_for(history, self.agent, self.options.models, answer)
        entry = choices.entry(self.agent)
        notices = McpNotices(self.options.mcp_servers, answer)
        hooks = self._hooks(answer, notices, choices, config)
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
            began_with = await self._to_model_input(began_with, context)
            await self.options.mcp_servers.listed(entry)
            state = await restore(pending, entry, began_with, answer, hooks)
            if state is None:
                history = await self._history(thread, context)
            else:
                # Before the run goes on: the model is told which calls could not be made for this reason.
                for event in await notices.missing(self._current_agent(pending, entry)):
                    yield event
        start = partial(self._start, config, choices, answer, hooks)
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
            result, decided = start(first, await self._to_model_input(history, context)), []
        flow = ApprovalFlow(answer, hooks, input_until, partial(start, entry))
        events = stream_answer(answer, result, hooks, flow, decided)
        # Close it explicitly and not by garbage collection: closing stops the model.
        async with aclosing(_note_refusal(events, thread.id)) as noted:
            async for event in noted:
                yield event
        if pending is not None and pending.current:
            yield forget_state(pending)

    async def _history(self, thread: ThreadMetadata, context: RequestContext) -> list[ThreadItem]:
        return await load_history(self.store, thread.id, context, max_tokens=self.options.history_tokens)

    async def _to_model_input(
        self, items: Sequence[ThreadItem], context: RequestContext
    ) -> list[TResponseInputItem]:
        if self.options.model_parts is not None:
            items = await with_contents(items, self.options.model_parts, context.identity)
        return await to_model_input(items, self.options.converter)

    def _first_agent(self, pending: PendingApproval, entry: Agent[Any]) -> Agent[Any]:
        """The agent that began the run, after the one that goes on is prepared."""
        self._prepare_models(self._current_agent(pending, entry))
        return entry

    def _current_agent(self, pending: PendingApproval, entry: Agent[Any]) -> Agent[Any]:
        """The agent that goes on with the run."""
        current: object = (pending.request.state or {}).get("current_agent", {}).get("name")
        return find_agent(entry, str(current))

    def _hooks(
        self, answer: AnswerContext, notices: McpNotices, choices: Choices, config: RunConfig
    ) -> AnswerHooks:
        prepare = answer.prepare = partial(self._prepare, notices)
        of_all = None if config.model is None else choices.model or config.model
        default = choices.model or self.options.default_model
        return AnswerHooks(answer, self.options.hooks, default, prepare, of_all)

    async def _prepare(self, notices: McpNotices, agent: Agent[Any]) -> None:
        self._prepare_models(agent)
        await notices.prepare(agent)

    def _prepare_models(self, agent: Agent[Any]) -> None:
        """Normalize the models of an agent and of all that it can reach. The Agents SDK does not report the start of an
        inner agent that goes on after an approval."""
        for each in reach.reachable_agents(agent):
            self._models.prepare(each)

    def _start(
        self,
        config: RunConfig,
        choices: Choices,
        answer: AnswerContext,
        hooks: AnswerHooks,
        agent: Agent[Any],
        run_input: list[TResponseInputItem] | RunState[Any, Agent[Any]],
    ) -> RunResultStreaming:
        self._prepare_models(agent)
        config = choices.apply(copy(config))
        # The Agents SDK checks with those of the agent that begins the run.
        of_entry = [each for each in self.agent.input_guardrails if each not in agent.input_guardrails]
        config.input_guardrails = [*(config.input_guardrails or ()), *of_entry]
        with models_for_own_runs(config), charged_to(answer.request_context):
            return Runner.run_streamed(
                agent,
                run_input,
                context=answer,
                hooks=hooks,
                max_turns=self.options.max_turns,
                run_config=config,
                error_handlers=handlers_for(answer, self.options.error_handlers),
            )

    @override
    async def add_feedback(
        self, thread_id: str, item_ids: list[str], feedback: FeedbackKind, context: RequestContext
    ) -> None:
        if isinstance(self.store, KeepsFeedback):
            await self.store.save_feedback(thread_id, item_ids, feedback, context)

    def _context(self, thread: ThreadMetadata, context: RequestContext, config: RunConfig) -> AnswerContext:
        return AnswerContext(
            thread=thread,
            store=self.store,
            request_context=context,
            render_output=self.options.render_output,
            run_config=without_guardrails(config),
        )


async def _note_refusal(
    events: AsyncGenerator[ThreadStreamEvent], thread_id: str
) -> AsyncGenerator[ThreadStreamEvent]:
    """The events of an answer, and a note in the journal if its message was refused."""
    async with aclosing(events):
        try:
            async for event in events:
                yield event
        except REFUSALS as error:
            # Otherwise the message would be in every later input, and refused each time.
            refused = journal.RefusedTurn(code=getattr(error, "code", GuardrailError.code))
            yield ThreadItemDoneEvent(item=journal.to_item(refused, thread_id))
            raise
