// One conversation: its items, its runs, and failures.
import { announce } from "./announcer.js";
import { ApiError, NetworkError, attemptKey, userInput } from "./api.js";
import { offerLastCall } from "./client-tools.js";
import { applyEvent, isQueuedEvent } from "./conversation-events.js";
import { Draft } from "./drafts.js";
import { LoadedItems, readNewest } from "./loaded-items.js";
import { GONE_ON, earlierFailure, notAnswered, spokenAnswer } from "./notices.js";
import { RunQueue } from "./run-queue.js";
import { closedReason, threadTitle } from "./threads.js";

// How long the server may take to end the stream of a cancelled run.
const CANCEL_TIMEOUT_MS = 5000;

/**
 * Fires "change" when anything that is shown changed, "thread" when the thread's own data did, and
 * "settled" when a run ended, and "refused" when a request was not accepted.
 */
export class Conversation extends EventTarget {
  #api;
  #queue;
  #retrying = false;

  constructor(api, connectivity, threadId = null) {
    super();
    this.#api = api;
    this.#queue = new RunQueue(api, connectivity, {
      started: (run) => this.#started(run),
      event: (event, run) => this.#receive(event, run),
      reconnecting: (yes) => this.#reconnecting(yes),
      ended: (run, how) => this.#ended(run, how),
      dropped: (run) => this.#dropped(run),
      changed: () => this.#changed(),
      awaitsReply: () => this.items.pendingQuestion !== null,
    });
    this.id = threadId;
    this.draft = new Draft(threadId);
    this.thread = null;
    /** Whether it is the open one. */
    this.shown = false;
    /** "loading", "ready", "missing" (no such thread) or "failed" (could not be loaded). */
    this.phase = threadId ? "loading" : "ready";
    this.items = new LoadedItems();
    this.loadingOlder = false;
    /** "idle", "starting", "streaming", "reconnecting" or "stopping". */
    this.status = "idle";
    this.allowCancel = true;
    this.progress = null;
    this.notices = [];
    /**
     * The last failure, or null: of the newest answer, as `failureOf` gives it, perhaps `dismissed`; or of a request, as
     * {message, canRetry, refusal: true, requestId, earlier}, where `earlier` is that of the answer.
     */
    this.failure = null;
    /** The message that is being sent and is not an item yet, or null; and its attachments. */
    this.pendingText = null;
    this.pendingFiles = [];
    this.stopped = false;
  }

  get running() {
    return this.status !== "idle";
  }

  /** The queued messages, in order. */
  get queued() {
    return this.#queue.queued.filter((run) => run.text !== null);
  }

  /** Whether a message can be sent now. Not while another one is being sent, which it could overtake. */
  get canSend() {
    const sending = [this.#queue.current, ...this.#queue.queued].some((run) => run?.id === null);
    return !sending && (this.id !== null || !this.running);
  }

  /** Why no message can be sent to this thread, or null. */
  get closedReason() {
    return closedReason(this.thread);
  }

  /** Loads the newest items, joins the run that is active, and lists the queued messages. */
  async load() {
    this.phase = "loading";
    this.#changed();
    try {
      const { runs, page, thread, failure } = await readNewest(this.#api, this.id);
      this.items.reset(page);
      this.#setThread(thread);
      this.#setAnswerFailure(failure);
      this.phase = "ready";
      const queued = runs.map((run) => run.text);
      this.draft.recover((message) => this.items.hasMessage(message) || queued.includes(message.text));
      this.#queue.sync(runs);
      if (!this.running) this.#offerLastToolCall();
    } catch (error) {
      this.phase = error instanceof ApiError && error.status === 404 ? "missing" : "failed";
      this.failure = this.phase === "failed" ? { message: error.message, canRetry: false } : null;
    }
    this.#changed();
  }

  /** Loads the page of items before the oldest one here. */
  async loadOlder() {
    if (!this.items.hasOlder || this.loadingOlder) return;
    this.loadingOlder = true;
    this.#changed();
    try {
      await this.items.loadOlder(this.#api, this.id);
    } catch {
      // Tried again when the reader scrolls up again.
    }
    this.loadingOlder = false;
    this.#changed();
  }

  /**
   * Sends a message, which is queued if a run of the thread is active; false when the server did not accept it
   * (then `failure` says why).
   */
  async send(text, attachments = []) {
    if (!this.canSend || this.closedReason || (text.trim() === "" && attachments.length === 0)) return false;
    const input = userInput(text, attachments.map(({ id }) => id));
    const key = this.draft.begin(text, this.items.all().at(-1)?.item.id ?? null, attachments);
    const type = this.id ? "threads.add_user_message" : "threads.create";
    const params = this.id ? { thread_id: this.id, input } : { input };
    const accepted = await this.#start(type, params, { key, text, attachments });
    if (accepted) this.draft.accepted(key);
    return accepted;
  }

  /** Withdraws a queued message, whose text is put back into the draft. */
  async withdraw(run) {
    try {
      if (!(await this.#queue.withdraw(run))) return;
      this.draft.putBack(run.text, run.attachments);
      announce("Message withdrawn.");
    } catch (error) {
      this.#showError(`The message could not be withdrawn. ${error.message}`, error);
    }
    this.#changed();
  }

  /** Takes over what was not sent in a new chat that is given up. */
  takeOver(other) {
    this.draft.absorb(other.draft);
    this.failure = other.failure;
    this.#changed();
  }

  /** Retries the last user message; the items after it are removed. Not if the thread has items that are not here. */
  async retry() {
    const last = this.items.findLast((item) => item.type === "user_message");
    if (this.running || this.#retrying || !last) return;
    this.#retrying = true;
    const complete = await this.#hasNewest(last.item.id);
    this.#retrying = false;
    if (!complete || this.running) return;
    const params = { thread_id: this.id, item_id: last.item.id };
    const accepted = () => this.items.removeAfter(last.item.id);
    const started = await this.#start("threads.retry_after_item", params, { accepted });
    if (!started && this.failure) this.failure.canRetry = true;
    this.#changed();
  }

  // Adds what is missing after the item `id`, and shows why nothing else happens.
  async #hasNewest(id) {
    try {
      const newest = await readNewest(this.#api, this.id);
      if (this.running) return false;
      if (newest.runs.length === 0 && !this.items.lacks(newest.page.data, id)) return true;
      this.failure = null;
      this.notices = [GONE_ON];
      this.#catchUp(newest);
    } catch (error) {
      this.#showError(`The answer was not regenerated. ${error.message}`, error);
      this.failure.canRetry = true;
    }
    return false;
  }

  /** Sends the answers to a form of the agent. */
  submitInput(itemId, input) {
    return this.#start("threads.add_structured_input", { thread_id: this.id, item_id: itemId, input });
  }

  /** Sends an action of a widget; whether it was accepted, and false at once while a run is active. */
  act(itemId, action) {
    if (this.running) return false;
    return this.#start("threads.custom_action", { thread_id: this.id, item_id: itemId, action });
  }

  /** Sends feedback about an answer: "positive" or "negative". */
  async rate(itemId, kind) {
    await this.#api.call("items.feedback", { thread_id: this.id, item_ids: [itemId], kind });
  }

  /** Cancels the current run. Its partial answer stays, and the next queued run begins. */
  async stop() {
    const run = this.#queue.current;
    if (!run || this.status === "stopping") return;
    this.status = "stopping";
    this.stopped = true;
    this.#changed();
    // One that is still being sent is cancelled when its id is known.
    if (run.id !== null) await this.#cancel(run);
  }

  /** Closes all connections; for a conversation that is no longer shown. */
  close() {
    this.#queue.close();
  }

  dismissFailure() {
    this.failure = this.failure.refusal ? this.failure.earlier : { ...this.failure, dismissed: true };
    this.#changed();
  }

  dismissNotice(notice) {
    this.notices = this.notices.filter((other) => other !== notice);
    this.#changed();
  }

  async #start(type, params, { accepted = () => {}, key = attemptKey(), text = null, attachments } = {}) {
    if (!this.running) this.notices = [];
    const earlier = this.failure?.refusal ? this.failure.earlier : this.failure;
    this.failure = null;
    try {
      const options = { text, attachments, accepted: (run) => this.#accepted(run, accepted) };
      await this.#queue.start(type, params, key, options);
      return true;
    } catch (error) {
      // Only a refusal below 500 is certain: the server does not have the message.
      if (error.name !== "AbortError" && text !== null) this.draft.failed(key, !(error.status < 500));
      this.#startFailed(error, text);
      if (this.failure?.refusal) this.failure.earlier = earlier;
      return false;
    }
  }

  #accepted(run, accepted) {
    accepted();
    const queued = run !== this.#queue.current;
    if (queued && run.text !== null) announce("Your message waits for the answer before it.");
    if (!queued && this.status === "stopping") this.#cancel(run);
    else if (!queued) this.status = "streaming";
    this.#changed();
  }

  async #cancel(run) {
    try {
      await this.#api.cancel(run.id);
      // The server ends the stream after the last event of the partial answer.
      setTimeout(() => run.close(), CANCEL_TIMEOUT_MS);
    } catch (error) {
      if (run !== this.#queue.current) return;
      this.status = "streaming";
      this.stopped = false;
      this.#showError(`The answer could not be stopped. ${error.message}`, error);
    }
  }

  #started(run) {
    this.status = run.id === null ? "starting" : "streaming";
    this.allowCancel = true;
    this.stopped = false;
    this.progress = null;
    this.pendingText = run.text;
    this.pendingFiles = run.attachments;
    if (this.failure && !this.failure.refusal) {
      // As a notice, because a failure is shown as that of the current run.
      if (!this.failure.dismissed) this.notices = [...this.notices, earlierFailure(this.failure)];
      this.failure = null;
    }
    this.#changed();
  }

  #receive(event, run) {
    const message = event.type === "thread.item.done" && event.item.type === "user_message" ? event.item : null;
    const isNew = message !== null && this.items.size > 0 && !this.items.get(message.id);
    applyEvent(this, event, (thread) => this.#setThread(thread));
    this.#changed();
    if (isNew) this.#addMissedBefore(message.id);
    if (this.id && !run.committed && isQueuedEvent(event)) this.#queue.checkOrderSoon(run, this.id);
  }

  async #refreshThread() {
    const thread = await this.#api.call("threads.get_by_id", { thread_id: this.id }).catch(() => null);
    // Else the data of the replayed events stays.
    if (thread) this.#setThread(thread);
    this.#changed();
  }

  #reconnecting(yes) {
    if (this.status === "stopping") return;
    this.status = yes ? "reconnecting" : "streaming";
    this.#changed();
  }

  #startFailed(error, text) {
    if (this.#queue.current === null) this.#setIdle();
    if (error.name === "AbortError") return;
    const unreachable = `The server could not be reached.${text === null ? "" : " Your message was kept."}`;
    this.#showError(error instanceof NetworkError ? unreachable : error.message, error);
    if (error instanceof ApiError && error.status === 409) this.#joinOtherRuns();
    this.dispatchEvent(new Event("refused"));
  }

  // The failure of a request of this page stays.
  #setAnswerFailure(failure) {
    if (!this.failure?.refusal) this.failure = failure;
  }

  #showError(message, { requestId = null }) {
    const earlier = this.failure?.refusal ? this.failure.earlier : this.failure;
    this.failure = { message, canRetry: false, refusal: true, requestId, earlier };
    this.#changed();
  }

  // Another run of the thread is active, perhaps of another tab. It is shown, if the server can be asked.
  async #joinOtherRuns() {
    const runs = await this.#api.activeRuns(this.id).catch(() => null);
    if (runs) this.#queue.sync(runs);
  }

  #dropped(run) {
    this.notices = [...this.notices, notAnswered(run.summary, run.rejection)];
    this.#changed();
  }

  #setIdle() {
    this.status = "idle";
    this.progress = null;
    this.pendingText = null;
  }

  #ended(run, how) {
    const answer = this.items.findLast((item) => item.type === "assistant_message");
    const isNew = answer?.live || this.status !== "stopping";
    this.items.settle();
    this.#setIdle();
    if (!run.committed && (how === "complete" || !this.id)) this.#returnMessage(run);
    if (this.stopped) announce("Answer stopped.");
    else if (this.failure && !this.shown) announce(`“${threadTitle(this.thread)}” was not answered.`);
    else if (!this.failure && answer && isNew) announce(spokenAnswer(this, answer.item));
    // Replayed events may have an older title of the thread.
    if (run.startedElsewhere) this.#refreshThread();
    if (how === "lost") this.#queue.discardCurrent();
    else this.#queue.next();
    if (how === "lost" && this.id) this.load();
    else if (!this.running) this.#offerLastToolCall();
    this.#changed();
    this.dispatchEvent(new Event("settled"));
  }

  // Messages of other tabs may have been answered without this page noticing; they come before its own.
  async #addMissedBefore(id) {
    const added = await this.items.addMissedBefore(id, this.#api, this.id).catch(() => false);
    if (added) this.#changed();
  }

  // The run ended before its message was in the thread: it was stopped, or `failure` has the reason.
  #returnMessage(run) {
    this.draft.putBack(run.text, run.attachments);
    if (this.stopped) this.failure = null;
    else if (this.failure) this.failure = { ...this.failure, canRetry: false };
    this.stopped = false;
  }

  #setThread(thread) {
    const { items: _items, ...metadata } = thread;
    this.thread = { ...this.thread, ...metadata };
    if (this.id === null) this.draft.moveTo(thread.id);
    this.id = thread.id;
    this.dispatchEvent(new Event("thread"));
  }

  #offerLastToolCall() {
    const send = (result, accepted) =>
      this.#start("threads.add_client_tool_output", { thread_id: this.id, result }, { accepted });
    const read = () => readNewest(this.#api, this.id);
    const catchUp = (newest) => !this.running && this.#catchUp(newest);
    offerLastCall(this.items, { read, catchUp, send, changed: () => this.#changed() });
  }

  // Shows what was added elsewhere; not while a run is shown here.
  #catchUp({ runs, page, thread, failure }) {
    this.items.catchUp(page);
    this.#setThread(thread);
    this.#setAnswerFailure(failure);
    this.#queue.sync(runs);
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}
