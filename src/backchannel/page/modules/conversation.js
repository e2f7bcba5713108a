// One conversation: its items, the runs that answer, and what went wrong.
import { announce } from "./announcer.js";
import { ApiError, NetworkError, attemptKey, userInput } from "./api.js";
import { offerClientTool } from "./client-tools.js";
import { EVENTS, saysThatItWaits } from "./conversation-events.js";
import { ItemList, messageText } from "./items.js";
import { Lineup } from "./lineup.js";
import { spokenText } from "./markdown.js";

const PAGE = 30;
const STOP_PATIENCE_MS = 5000;
// A run whose turn has come says so in less.
const TURN_PATIENCE_MS = 300;

/**
 * Fires "change" when anything to be shown changed, "thread" when the thread's own data did, and
 * "settled" when a run ended.
 */
export class Conversation extends EventTarget {
  #api;
  #lineup;
  #older = null;
  // A message of which it is not known whether it arrived: {text, key}.
  #unsure = null;
  #returned = [];

  constructor(api, connectivity, threadId = null) {
    super();
    this.#api = api;
    this.#lineup = new Lineup(api, connectivity, {
      begins: (turn) => this.#begins(turn),
      event: (event, turn) => this.#heard(event, turn),
      reconnecting: (yes) => this.#reconnecting(yes),
      ended: (turn, how) => this.#ended(turn, how),
      dropped: (turn) => this.#dropped(turn),
      changed: () => this.#changed(),
    });
    this.id = threadId;
    this.thread = null;
    /** "loading", "ready", "missing" (no such thread) or "failed" (could not be loaded). */
    this.phase = threadId ? "loading" : "ready";
    this.items = new ItemList();
    this.hasOlder = false;
    this.loadingOlder = false;
    /** "idle", "starting", "streaming", "reconnecting" or "stopping". */
    this.run = "idle";
    this.allowCancel = true;
    this.progress = null;
    this.notices = [];
    /** What went wrong, as {message, canRetry, refusal}: whether that was a request, and not the answer. Or null. */
    this.failure = null;
    this.pendingText = null;
    this.stopped = false;
  }

  get running() {
    return this.run !== "idle";
  }

  /** The messages that wait for the answer before them, in order. */
  get waiting() {
    return this.#lineup.waiting.filter((turn) => turn.text !== null);
  }

  /** Whether a message can be sent now. Not while one is on its way: the second could overtake it. */
  get accepting() {
    const sending = [this.#lineup.current, ...this.#lineup.waiting].some((turn) => turn?.runId === null);
    return !sending && (this.id !== null || !this.running);
  }

  /** Why nothing can be sent to this thread, or null. */
  get closedReason() {
    const status = this.thread?.status;
    if (!status || status.type === "active") return null;
    return status.reason || (status.type === "locked" ? "This chat is locked." : "This chat is closed.");
  }

  /** Loads the newest items, joins the answer that is being written, and learns which messages wait. */
  async load() {
    this.phase = "loading";
    this.#changed();
    try {
      // The runs first: the items of those that have ended by then are all there.
      const runs = await this.#api.activeRuns(this.id);
      const [page, thread] = await Promise.all([
        this.#api.call("items.list", { thread_id: this.id, limit: PAGE, order: "desc" }),
        this.#api.call("threads.get_by_id", { thread_id: this.id }),
      ]);
      this.items.clear();
      this.#takeOlder(page);
      this.#setThread(thread);
      this.phase = "ready";
      this.#lineup.learn(runs);
      if (!this.running) this.#offerLastToolCall();
    } catch (error) {
      this.phase = error instanceof ApiError && error.status === 404 ? "missing" : "failed";
      this.failure = this.phase === "failed" ? { message: error.message, canRetry: false } : null;
    }
    this.#changed();
  }

  /** Loads the page of items before the oldest one here. */
  async loadOlder() {
    if (!this.hasOlder || this.loadingOlder) return;
    this.loadingOlder = true;
    this.#changed();
    try {
      const params = { thread_id: this.id, limit: PAGE, order: "desc", after: this.#older };
      this.#takeOlder(await this.#api.call("items.list", params));
    } catch {
      // Scrolling up again asks again.
    }
    this.loadingOlder = false;
    this.#changed();
  }

  /**
   * Sends a message, which waits for its turn if the thread is being answered; false when the server did
   * not take it (then `failure` says why).
   */
  async send(text) {
    if (!this.accepting || this.closedReason || text.trim() === "") return false;
    const input = userInput(text);
    const key = this.#unsure?.text === text ? this.#unsure.key : attemptKey();
    this.#unsure = { text, key };
    const accepted = this.id
      ? await this.#start("threads.add_user_message", { thread_id: this.id, input }, { key, text })
      : await this.#start("threads.create", { input }, { key, text });
    if (accepted) this.#unsure = null;
    return accepted;
  }

  /** Takes back a message that waits for its turn; it is `returned`. */
  async withdraw(turn) {
    try {
      if (!(await this.#lineup.withdraw(turn))) return;
      this.#returned.push(turn.text);
      announce("Message withdrawn.");
    } catch (error) {
      this.#complain("The message could not be withdrawn.", error);
    }
    this.#changed();
  }

  /** The messages that will not be in the thread after all, for the reader to do with as they like; gives each once. */
  takeReturned() {
    return this.#returned.splice(0);
  }

  /** Has the last user message answered anew; what followed it goes. */
  async retry() {
    const last = this.items.findLast((item) => item.type === "user_message");
    if (this.running || !last) return;
    const params = { thread_id: this.id, item_id: last.item.id };
    const accepted = () => this.items.removeAfter(last.item.id);
    const started = await this.#start("threads.retry_after_item", params, { accepted });
    if (!started && this.failure) this.failure.canRetry = true;
    this.#changed();
  }

  /** Sends the answers to a form of the agent. */
  submitInput(itemId, input) {
    return this.#start("threads.add_structured_input", { thread_id: this.id, item_id: itemId, input });
  }

  /** Reports that something in a widget was used. */
  act(itemId, action) {
    if (this.running) return false;
    return this.#start("threads.custom_action", { thread_id: this.id, item_id: itemId, action });
  }

  /** Says what the reader thinks of an answer: "positive" or "negative". */
  async rate(itemId, kind) {
    await this.#api.call("items.feedback", { thread_id: this.id, item_ids: [itemId], kind });
  }

  /** Stops the answer that is being written; what is there stays, and the next message gets its turn. */
  async stop() {
    const turn = this.#lineup.current;
    if (!turn || this.run === "stopping") return;
    this.run = "stopping";
    this.stopped = true;
    this.#changed();
    // One that is still being sent is stopped once it has a name.
    if (turn.runId !== null) await this.#cancel(turn);
  }

  /** Stops listening to the answers; for a conversation that is no more. */
  leave() {
    this.#lineup.close();
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
      const options = { text, accepted: (turn) => this.#accepted(turn, accepted) };
      await this.#lineup.start(type, params, key, options);
      return true;
    } catch (error) {
      this.#refused(error);
      return false;
    }
  }

  #accepted(turn, accepted) {
    accepted();
    const waits = turn !== this.#lineup.current;
    if (waits && turn.text !== null) announce("Your message waits for the answer before it.");
    if (!waits && this.run === "stopping") this.#cancel(turn);
    else if (!waits) this.run = "streaming";
    this.#changed();
  }

  async #cancel(turn) {
    try {
      await this.#api.cancel(turn.runId);
      // The server closes the stream after the partial answer's last event.
      setTimeout(() => turn.close(), STOP_PATIENCE_MS);
    } catch (error) {
      if (turn !== this.#lineup.current) return;
      this.run = "streaming";
      this.stopped = false;
      this.#complain("The answer could not be stopped.", error);
    }
  }

  #begins(turn) {
    this.run = turn.runId === null ? "starting" : "streaming";
    this.allowCancel = true;
    this.stopped = false;
    this.progress = null;
    this.pendingText = turn.text;
    if (this.failure && !this.failure.refusal) {
      // What became of the answer before must not look as if it were about this one.
      this.notices = [...this.notices, { level: "danger", title: null, message: this.failure.message }];
      this.failure = null;
    }
    this.#changed();
  }

  #heard(event, turn) {
    this.#apply(event);
    if (!turn.takenIn && saysThatItWaits(event)) setTimeout(() => this.#letOthersPass(turn), TURN_PATIENCE_MS);
  }

  // Another tab may have asked something first.
  async #letOthersPass(turn) {
    if (turn !== this.#lineup.current || turn.takenIn || !this.id) return;
    try {
      await this.#lineup.letOthersPass(this.id);
    } catch {
      // The message waits all the same; only what it waits for is not shown.
    }
  }

  async #refreshThread() {
    try {
      this.#setThread(await this.#api.call("threads.get_by_id", { thread_id: this.id }));
      this.#changed();
    } catch {
      // The replayed data then has to do.
    }
  }

  #reconnecting(yes) {
    if (this.run === "stopping") return;
    this.run = yes ? "reconnecting" : "streaming";
    this.#changed();
  }

  #refused(error) {
    if (this.#lineup.current === null) this.#rest();
    if (error.name === "AbortError") return;
    if (error instanceof ApiError && error.status < 500) this.#unsure = null;
    const message =
      error instanceof NetworkError ? "The server could not be reached. Your message was kept." : error.message;
    this.failure = { message, canRetry: false, refusal: true, requestId: error.requestId ?? null };
    if (error instanceof ApiError && error.status === 409) this.#joinOtherRuns();
    this.#changed();
  }

  #complain(what, error) {
    const message = `${what} ${error.message}`;
    this.failure = { message, canRetry: false, refusal: true, requestId: error.requestId ?? null };
    this.#changed();
  }

  // The thread is being answered already, perhaps because of another tab: show that answer.
  async #joinOtherRuns() {
    try {
      this.#lineup.learn(await this.#api.activeRuns(this.id));
    } catch {
      // The alert already says what happened.
    }
  }

  #dropped(turn) {
    const title = `Not answered: “${turn.text.slice(0, 200)}”`;
    this.notices = [...this.notices, { level: "info", title, message: turn.refusal ?? "" }];
    this.#changed();
  }

  #rest() {
    this.run = "idle";
    this.progress = null;
    this.pendingText = null;
  }

  #ended(turn, how) {
    const answered = this.items.findLast((item) => item.type === "assistant_message");
    const fresh = answered?.live || this.run !== "stopping";
    this.items.settle();
    this.#rest();
    if (!turn.takenIn && (how === "complete" || !this.id)) this.#giveBack(turn);
    if (this.stopped) announce("Answer stopped.");
    else if (!this.failure && answered && fresh) announce(spokenText(messageText(answered.item)));
    // What was replayed can be older than the thread's present title.
    if (turn.found) this.#refreshThread();
    if (how === "lost") this.#lineup.forget();
    else this.#lineup.advance();
    if (how === "lost" && this.id) this.load();
    else if (!this.running) this.#offerLastToolCall();
    this.#changed();
    this.dispatchEvent(new Event("settled"));
  }

  // It ended before the message was in the thread: by the reader's own doing, or the failure says why.
  #giveBack(turn) {
    this.#returned.push(turn.text);
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
      // One odd event must not end the conversation.
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

  #takeOlder(page) {
    this.items.prepend(page.data ?? []);
    this.hasOlder = Boolean(page.has_more);
    this.#older = page.after ?? page.data?.at(-1)?.id ?? null;
  }

  #offerLastToolCall() {
    const last = this.items.findLast((item) => item.type !== "end_of_turn")?.item;
    if (last?.type !== "client_tool_call" || last.status !== "pending") return;
    const done = () => this.items.put({ ...last, status: "completed" }, false);
    // A handler may answer at once, while the run that asked is still being closed.
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
