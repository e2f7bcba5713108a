// One conversation: its items, its runs, and failures.
import { announce } from "./announcer.js";
import { ApiError, NetworkError, attemptKey, userInput } from "./api.js";
import { offerClientTool } from "./client-tools.js";
import { EVENTS, isQueuedEvent } from "./conversation-events.js";
import { messageText } from "./items.js";
import { LoadedItems, readNewest } from "./loaded-items.js";
import { spokenText } from "./markdown.js";
import { RunQueue } from "./run-queue.js";

// How long the server may take to end the stream of a cancelled run.
const CANCEL_TIMEOUT_MS = 5000;
// A run that is about to begin does so in less.
const QUEUE_CHECK_DELAY_MS = 300;
const GONE_ON = "This chat has gone on in another tab or on another device, so this answer was not regenerated.";

/**
 * Fires "change" when anything that is shown changed, "thread" when the thread's own data did, and
 * "settled" when a run ended.
 */
export class Conversation extends EventTarget {
  #api;
  #queue;
  // A message that may or may not have reached the server, as {text, key}.
  #unconfirmed = null;
  #returned = [];
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
    });
    this.id = threadId;
    this.thread = null;
    /** "loading", "ready", "missing" (no such thread) or "failed" (could not be loaded). */
    this.phase = threadId ? "loading" : "ready";
    this.items = new LoadedItems();
    this.loadingOlder = false;
    /** "idle", "starting", "streaming", "reconnecting" or "stopping". */
    this.status = "idle";
    this.allowCancel = true;
    this.progress = null;
    this.notices = [];
    /** The last failure as {message, canRetry, refusal}, or null. `refusal`: a request failed, not the answer. */
    this.failure = null;
    this.pendingText = null;
    this.stopped = false;
  }

  get running() {
    return this.status !== "idle";
  }

  /** The queued runs that have a message, in order. */
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
    const status = this.thread?.status;
    if (!status || status.type === "active") return null;
    return status.reason || (status.type === "locked" ? "This chat is locked." : "This chat is closed.");
  }

  /** Loads the newest items, joins the run that is active, and lists the queued messages. */
  async load() {
    this.phase = "loading";
    this.#changed();
    try {
      const { runs, page, thread } = await readNewest(this.#api, this.id);
      this.items.reset(page);
      this.#setThread(thread);
      this.phase = "ready";
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
  async send(text) {
    if (!this.canSend || this.closedReason || text.trim() === "") return false;
    const input = userInput(text);
    const key = this.#unconfirmed?.text === text ? this.#unconfirmed.key : attemptKey();
    this.#unconfirmed = { text, key };
    const accepted = this.id
      ? await this.#start("threads.add_user_message", { thread_id: this.id, input }, { key, text })
      : await this.#start("threads.create", { input }, { key, text });
    if (accepted) this.#unconfirmed = null;
    return accepted;
  }

  /** Withdraws a queued message, which `takeReturned` then gives. */
  async withdraw(run) {
    try {
      if (!(await this.#queue.withdraw(run))) return;
      this.#returned.push(run.text);
      announce("Message withdrawn.");
    } catch (error) {
      this.#showError("The message could not be withdrawn.", error);
    }
    this.#changed();
  }

  /** The texts of messages that did not get into the thread, each once, to be edited and sent again. */
  takeReturned() {
    return this.#returned.splice(0);
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
      const { runs, page, thread } = await readNewest(this.#api, this.id);
      if (this.running) return false;
      if (runs.length === 0 && !this.items.lacks(page.data, id)) return true;
      this.items.catchUp(page);
      this.#setThread(thread);
      this.failure = null;
      this.notices = [{ level: "info", title: null, message: GONE_ON }];
      this.#queue.sync(runs);
      this.#changed();
    } catch (error) {
      this.#showError("The answer was not regenerated.", error);
      this.failure.canRetry = true;
    }
    return false;
  }

  /** Sends the answers to a form of the agent. */
  submitInput(itemId, input) {
    return this.#start("threads.add_structured_input", { thread_id: this.id, item_id: itemId, input });
  }

  /** Sends an action of a widget. */
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
    this.failure = null;
    this.#changed();
  }

  dismissNotice(notice) {
    this.notices = this.notices.filter((other) => other !== notice);
    this.#changed();
  }

  async #start(type, params, { accepted = () => {}, key = attemptKey(), text = null } = {}) {
    if (!this.running) this.notices = [];
    this.failure = null;
    try {
      const options = { text, accepted: (run) => this.#accepted(run, accepted) };
      await this.#queue.start(type, params, key, options);
      return true;
    } catch (error) {
      this.#startFailed(error);
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
      this.#showError("The answer could not be stopped.", error);
    }
  }

  #started(run) {
    this.status = run.id === null ? "starting" : "streaming";
    this.allowCancel = true;
    this.stopped = false;
    this.progress = null;
    this.pendingText = run.text;
    if (this.failure && !this.failure.refusal) {
      // As a notice, because a failure is shown as that of the current run.
      this.notices = [...this.notices, { level: "danger", title: null, message: this.failure.message }];
      this.failure = null;
    }
    this.#changed();
  }

  #receive(event, run) {
    const message = event.type === "thread.item.done" && event.item.type === "user_message" ? event.item : null;
    const isNew = message !== null && this.items.size > 0 && !this.items.get(message.id);
    this.#apply(event);
    if (isNew) this.#addMissedBefore(message.id);
    if (!run.committed && isQueuedEvent(event)) setTimeout(() => this.#checkQueue(run), QUEUE_CHECK_DELAY_MS);
  }

  // Another tab may have sent a message before this one.
  async #checkQueue(run) {
    if (run !== this.#queue.current || run.committed || !this.id) return;
    try {
      await this.#queue.requeueIfBehind(this.id);
    } catch {
      // The run stays the current one; only the run before it is not shown.
    }
  }

  async #refreshThread() {
    try {
      this.#setThread(await this.#api.call("threads.get_by_id", { thread_id: this.id }));
      this.#changed();
    } catch {
      // The data of the replayed events stays.
    }
  }

  #reconnecting(yes) {
    if (this.status === "stopping") return;
    this.status = yes ? "reconnecting" : "streaming";
    this.#changed();
  }

  #startFailed(error) {
    if (this.#queue.current === null) this.#setIdle();
    if (error.name === "AbortError") return;
    if (error instanceof ApiError && error.status < 500) this.#unconfirmed = null;
    const message =
      error instanceof NetworkError ? "The server could not be reached. Your message was kept." : error.message;
    this.failure = { message, canRetry: false, refusal: true, requestId: error.requestId ?? null };
    if (error instanceof ApiError && error.status === 409) this.#joinOtherRuns();
    this.#changed();
  }

  #showError(what, error) {
    const message = `${what} ${error.message}`;
    this.failure = { message, canRetry: false, refusal: true, requestId: error.requestId ?? null };
    this.#changed();
  }

  // Another run of the thread is active, perhaps of another tab. It is shown.
  async #joinOtherRuns() {
    try {
      this.#queue.sync(await this.#api.activeRuns(this.id));
    } catch {
      // The alert of the failure is shown all the same.
    }
  }

  #dropped(run) {
    const title = `Not answered: “${run.text.slice(0, 200)}”`;
    this.notices = [...this.notices, { level: "info", title, message: run.rejection ?? "" }];
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
    else if (!this.failure && answer && isNew) announce(spokenText(messageText(answer.item)));
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
    this.#returned.push(run.text);
    if (this.stopped) this.failure = null;
    else if (this.failure) this.failure = { ...this.failure, canRetry: false };
    this.stopped = false;
  }

  #apply(event) {
    const apply = EVENTS[event.type];
    if (!apply) return;
    try {
      apply.call(this, event, (thread) => this.#setThread(thread));
    } catch (error) {
      // One invalid event must not end the conversation.
      console.warn("Backchannel: an event could not be shown.", event.type, error);
    }
    this.#changed();
  }

  #setThread(thread) {
    const { items: _items, ...metadata } = thread;
    this.thread = { ...this.thread, ...metadata };
    this.id = thread.id;
    this.dispatchEvent(new Event("thread"));
  }

  #offerLastToolCall() {
    const last = this.items.findLast((item) => item.type !== "end_of_turn")?.item;
    if (last?.type !== "client_tool_call" || last.status !== "pending") return;
    const done = () => this.items.put({ ...last, status: "completed" }, false);
    // A handler may respond at once, before the run that called the tool is closed.
    const respond = (result) => {
      const params = { thread_id: this.id, result };
      queueMicrotask(() => this.#start("threads.add_client_tool_output", params, { accepted: done }));
    };
    offerClientTool(last, respond);
    this.items.put(last, false);
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}
