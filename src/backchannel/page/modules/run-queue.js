// The runs of one conversation in the server's order: the current one, which is shown, and those that are queued.
import { QueuedRun } from "./queued-run.js";

// Queued runs that this page started keep their connections, because a server may be set up to stop runs whose
// connection ends. But browsers open only six to one server, and the stop button needs one.
const MAX_QUEUED_CONNECTIONS = 2;
// They give a run that ended with a question what it asked for, and come before messages that were queued before that.
const REPLIES = new Set(["threads.add_structured_input", "threads.add_client_tool_output"]);
// A run that is about to begin does so in less.
const ORDER_CHECK_DELAY_MS = 300;

/**
 * Callbacks: started(run) when a run becomes the current one; event(event, run), reconnecting(yes) and
 * ended(run, how) for the current one; dropped(run) when a queued one ended before its message was in the thread;
 * changed() when `queued` changed. awaitsReply() says whether the thread ends with a question to the reader: queued runs
 * begin after the reply, or after the next message in its place, and until then there is no current one.
 */
export class RunQueue {
  #api;
  #connectivity;
  #callbacks;
  // Ids of runs whose events the server does not have.
  #lost = new Set();

  constructor(api, connectivity, callbacks) {
    this.#api = api;
    this.#connectivity = connectivity;
    this.#callbacks = callbacks;
    this.current = null;
    /** The runs after the current one, in order. */
    this.queued = [];
  }

  /** Starts a run, and queues it if there is a current one; throws ApiError or NetworkError if it is not accepted. */
  async start(type, params, key, { text, attachments, accepted }) {
    const run = this.#create({ text, attachments });
    if (this.current === null && (this.queued.length === 0 || REPLIES.has(type))) this.#setCurrent(run);
    else this.#enqueue(run);
    try {
      await run.start(type, params, key, () => accepted(run));
    } catch (error) {
      this.#remove(run);
      throw error;
    }
    if (this.current === null) this.#advance();
    const connections = this.queued.filter((other) => other.connected).length;
    if (run !== this.current && connections > MAX_QUEUED_CONNECTIONS) run.disconnect();
    this.#callbacks.changed();
  }

  /** Brings the queue in line with the server's active runs of the thread, which are given newest first. */
  sync(activeRuns) {
    const known = new Map(this.queued.map((run) => [run.id, run]));
    const active = [...activeRuns]
      .reverse()
      .filter(({ id }) => id !== this.current?.id && !this.#lost.has(id))
      .map(({ id, text }) => known.get(id) ?? this.#create({ id, text: text ?? null }));
    const others = this.queued.filter((run) => !active.includes(run));
    // Runs that are not active have ended, but were not shown yet, or are still being sent.
    const ended = others.filter((run) => run.id !== null);
    this.#setQueued([...ended, ...active, ...others.filter((run) => run.id === null)]);
    if (this.current !== null) return;
    if (activeRuns.some(({ status }) => status === "running")) this.#advance();
    else this.next();
  }

  /** Makes the first queued run the current one, in place of one that has ended; unless it waits for a reply. */
  next() {
    this.current = null;
    if (!this.#callbacks.awaitsReply()) this.#advance();
    else this.queued[0]?.connect();
  }

  /** Removes the current run, whose events the server does not have, and ignores it in later calls of `sync`. */
  discardCurrent() {
    this.#lost.add(this.current.id);
    this.current = null;
  }

  /** Checks soon whether another run is ahead of the current one, as when another tab has sent a message before. */
  checkOrderSoon(run, threadId) {
    const check = () => {
      if (run !== this.current || run.committed) return;
      // If that fails, the run stays the current one; only the run before it is not shown.
      this.requeueIfBehind(threadId).catch(() => {});
    };
    setTimeout(check, ORDER_CHECK_DELAY_MS);
  }

  /** Queues the current run again if another one is ahead of it on the server. */
  async requeueIfBehind(threadId) {
    const run = this.current;
    const active = await this.#api.activeRuns(threadId);
    if (run === null || run !== this.current || run.committed) return;
    const position = active.findIndex(({ id }) => id === run.id);
    if (position < 0 || position === active.length - 1) return;
    run.unsubscribe();
    this.current = null;
    run.waited = true;
    this.queued = [run, ...this.queued];
    this.sync(active);
  }

  /** Withdraws a queued message; false if it was too late. Throws ApiError or NetworkError. */
  async withdraw(run) {
    if (run.id === null || run.withdrawing) return false;
    run.withdrawing = true;
    this.#callbacks.changed();
    try {
      const cancelled = await this.#api.cancel(run.id);
      if (cancelled.started_at !== null || !this.queued.includes(run)) return false;
    } finally {
      run.withdrawing = false;
      this.#callbacks.changed();
    }
    this.#remove(run);
    return true;
  }

  /** Closes all connections. The runs go on. */
  close() {
    for (const run of this.queued) run.disconnect();
    this.queued = [];
    this.current?.close();
  }

  #create(options) {
    const onEndedInQueue = (run) => this.#endedInQueue(run);
    const onBegan = (run) => {
      // The question was answered in another tab.
      if (this.current === null && run === this.queued[0]) this.#advance();
    };
    return new QueuedRun(this.#api, this.#connectivity, { ...options, onEndedInQueue, onBegan });
  }

  #advance() {
    const [first, ...others] = this.queued;
    if (!first) return;
    this.#setQueued(others);
    this.#setCurrent(first);
  }

  #enqueue(run) {
    run.waited = true;
    this.#setQueued([...this.queued, run]);
  }

  #setCurrent(run) {
    this.current = run;
    this.#callbacks.started(run);
    run.subscribe({
      event: (event) => this.#callbacks.event(event, run),
      reconnecting: (yes) => this.#callbacks.reconnecting(yes),
      ended: (how) => run === this.current && this.#callbacks.ended(run, how),
    });
  }

  #endedInQueue(run) {
    // A committed one is shown in its turn: the end of the run before it arrives a little later.
    if (run.committed || run.withdrawing || !this.queued.includes(run)) return;
    this.#remove(run);
    this.#callbacks.dropped(run);
  }

  #remove(run) {
    if (run === this.current) {
      this.next();
      return;
    }
    this.#setQueued(this.queued.filter((other) => other !== run));
    run.disconnect();
  }

  #setQueued(runs) {
    this.queued = runs;
    this.#callbacks.changed();
  }
}
