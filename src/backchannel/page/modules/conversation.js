// One conversation: its items, the run that is answering, and what went wrong.
import { announce } from "./announcer.js";
import { ApiError, NetworkError, attemptKey, userInput } from "./api.js";
import { offerClientTool } from "./client-tools.js";
import { ItemList, messageText } from "./items.js";
import { spokenText } from "./markdown.js";
import { RunStream } from "./run-stream.js";

const PAGE = 30;
const STOP_PATIENCE_MS = 5000;

/**
 * Fires "change" when anything to be shown changed, "thread" when the thread's own data did, and
 * "settled" when a run ended.
 */
export class Conversation extends EventTarget {
  #api;
  #connectivity;
  #stream = null;
  #older = null;
  // A message of which it is not known whether it arrived: {text, key}.
  #unsure = null;

  constructor(api, connectivity, threadId = null) {
    super();
    this.#api = api;
    this.#connectivity = connectivity;
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
    this.failure = null;
    this.pendingText = null;
    this.stopped = false;
  }

  get running() {
    return this.run !== "idle";
  }

  /** Why nothing can be sent to this thread, or null. */
  get closedReason() {
    const status = this.thread?.status;
    if (!status || status.type === "active") return null;
    return status.reason || (status.type === "locked" ? "This chat is locked." : "This chat is closed.");
  }

  /** Loads the newest items and joins the answer that is being written, if there is one. */
  async load() {
    this.phase = "loading";
    this.#changed();
    try {
      const [page, thread, runs] = await Promise.all([
        this.#api.call("items.list", { thread_id: this.id, limit: PAGE, order: "desc" }),
        this.#api.call("threads.get_by_id", { thread_id: this.id }),
        this.#api.activeRuns(this.id),
      ]);
      this.items.clear();
      this.#takeOlder(page);
      this.#setThread(thread);
      this.phase = "ready";
      if (runs.length > 0) this.#attach(runs[0].id);
      else this.#offerLastToolCall();
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

  /** Sends a message; false when the server did not take it (then `failure` says why). */
  async send(text) {
    if (this.running || this.closedReason || text.trim() === "") return false;
    this.pendingText = text;
    const input = userInput(text);
    const key = this.#unsure?.text === text ? this.#unsure.key : attemptKey();
    this.#unsure = { text, key };
    const accepted = this.id
      ? await this.#start("threads.add_user_message", { thread_id: this.id, input }, { key })
      : await this.#start("threads.create", { input }, { key });
    if (accepted) this.#unsure = null;
    else this.pendingText = null;
    this.#changed();
    return accepted;
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

  /** Stops the answer that is being written; what is there stays. */
  async stop() {
    const stream = this.#stream;
    if (!stream || this.run === "stopping") return;
    this.run = "stopping";
    this.stopped = true;
    this.#changed();
    try {
      if (stream.runId) await this.#api.cancel(stream.runId);
      // The server closes the stream after the partial answer's last event.
      setTimeout(() => stream.close(), STOP_PATIENCE_MS);
    } catch {
      stream.close();
    }
  }

  /** Stops listening to the answer; for a conversation that is no more. */
  leave() {
    this.#stream?.close();
  }

  dismissFailure() {
    this.failure = null;
    this.#changed();
  }

  dismissNotice(notice) {
    this.notices = this.notices.filter((other) => other !== notice);
    this.#changed();
  }

  async #start(type, params, { accepted = () => {}, key = attemptKey() } = {}) {
    const stream = this.#newStream(() => {
      accepted();
      if (this.run === "starting") this.run = "streaming";
      this.#changed();
    });
    this.run = "starting";
    this.failure = null;
    this.notices = [];
    this.stopped = false;
    this.#changed();
    try {
      await stream.start(type, params, key);
      if (this.run === "stopping" && stream.runId) await this.#api.cancel(stream.runId);
      return true;
    } catch (error) {
      this.#refused(error);
      return false;
    }
  }

  #attach(runId) {
    const stream = this.#newStream(() => {
      this.run = "streaming";
    });
    // What is replayed can be older than the thread's present title.
    this.addEventListener("settled", () => this.#refreshThread(), { once: true });
    stream.attach(runId);
  }

  async #refreshThread() {
    try {
      this.#setThread(await this.#api.call("threads.get_by_id", { thread_id: this.id }));
      this.#changed();
    } catch {
      // The replayed data then has to do.
    }
  }

  #newStream(opened) {
    const stream = new RunStream(this.#api, this.#connectivity, {
      opened,
      event: (event) => this.#apply(event),
      reconnecting: (yes) => {
        if (this.run === "stopping") return;
        this.run = yes ? "reconnecting" : "streaming";
        this.#changed();
      },
      unfinished: () => this.run !== "stopping" && this.items.unfinished,
      ended: (how) => this.#ended(how),
    });
    this.#stream = stream;
    return stream;
  }

  #refused(error) {
    this.run = "idle";
    this.#stream = null;
    if (error.name === "AbortError") return;
    if (error instanceof ApiError) this.#unsure = null;
    const message =
      error instanceof NetworkError ? "The server could not be reached. Your message was kept." : error.message;
    this.failure = { message, canRetry: false, requestId: error.requestId ?? null };
    if (error instanceof ApiError && error.status === 409) this.#joinOtherRun();
    this.#changed();
  }

  // The thread is being answered already, perhaps because of another tab: show that answer.
  async #joinOtherRun() {
    try {
      const runs = await this.#api.activeRuns(this.id);
      if (runs.length > 0 && !this.running) this.#attach(runs[0].id);
      this.#changed();
    } catch {
      // The alert already says what happened.
    }
  }

  #ended(how) {
    const answered = this.items.findLast((item) => item.type === "assistant_message");
    const fresh = answered?.live || this.run !== "stopping";
    this.items.settle();
    this.run = "idle";
    this.#stream = null;
    this.progress = null;
    this.pendingText = null;
    if (this.stopped) announce("Answer stopped.");
    else if (!this.failure && answered && fresh) announce(spokenText(messageText(answered.item)));
    if (how === "lost" && this.id) this.load();
    else this.#offerLastToolCall();
    this.#changed();
    this.dispatchEvent(new Event("settled"));
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

const EVENTS = {
  "thread.created"({ thread }, setThread) {
    setThread(thread);
  },
  "thread.updated"({ thread }, setThread) {
    setThread(thread);
  },
  "thread.item.added"({ item }) {
    this.items.put(item, true);
    this.progress = null;
  },
  "thread.item.updated"({ item_id: id, update }) {
    this.items.update(id, update);
  },
  "thread.item.done"({ item }) {
    if (item.type === "user_message") this.pendingText = null;
    this.items.put(item, false);
    this.progress = null;
  },
  "thread.item.removed"({ item_id: id }) {
    this.items.remove(id);
  },
  "thread.item.replaced"({ item }) {
    this.items.put(item, false);
  },
  stream_options({ stream_options: options }) {
    this.allowCancel = options?.allow_cancel !== false;
  },
  progress_update({ text }) {
    this.progress = text;
  },
  notice(notice) {
    this.notices = [...this.notices, notice];
  },
  client_effect({ name, data }) {
    document.dispatchEvent(new CustomEvent("backchannel:client-effect", { detail: { name, data: data ?? {} } }));
  },
  error({ code, message, allow_retry: canRetry }) {
    const text = message || "Something went wrong while answering.";
    this.failure = { message: text, code, canRetry: Boolean(canRetry) };
  },
};
