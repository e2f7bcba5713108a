// Follows one run from its first event to its last, across broken connections.
import { ApiError, NetworkError } from "./api.js";
import { SseParser } from "./sse.js";

const FIRST_DELAY_MS = 400;
const SLOWEST_DELAY_MS = 8000;
// Servers send heartbeats far more often; silence this long means that the connection is dead.
const SILENCE_MS = 60000;

/**
 * Callbacks: opened() once the server accepted the request; event(event) for every event;
 * reconnecting(yes); unfinished() says whether the events so far lack their end; ended(how) with how =
 * "complete", "lost" (the server no longer knows the run) or "closed" (by `close`).
 */
export class RunStream {
  #api;
  #connectivity;
  #callbacks;
  #abort = new AbortController();
  #seen = -1;
  #verifiedSeen = null;
  #waiting = false;

  constructor(api, connectivity, callbacks) {
    this.#api = api;
    this.#connectivity = connectivity;
    this.#callbacks = callbacks;
    this.runId = null;
  }

  /** Starts an operation; throws ApiError or NetworkError when the server does not accept it. */
  async start(type, params, key) {
    const response = await this.#api.stream(type, params, key, this.#abort.signal);
    this.runId = response.headers.get("X-Run-Id");
    this.#callbacks.opened();
    this.#follow(response);
  }

  /** Joins a run that is already going, from its first event. */
  attach(runId) {
    this.runId = runId;
    this.#callbacks.opened();
    this.#follow(null);
  }

  /** Stops listening at once; the run itself goes on. */
  close() {
    this.#abort.abort();
  }

  async #follow(firstResponse) {
    let response = firstResponse ?? (await this.#reopen(0));
    while (response && !this.#abort.signal.aborted) {
      const intact = await this.#read(response);
      if (this.#abort.signal.aborted) break;
      if (intact && this.#isOver()) {
        this.#callbacks.ended("complete");
        return;
      }
      response = await this.#reopen(intact ? 0 : FIRST_DELAY_MS);
    }
    this.#callbacks.ended(this.#abort.signal.aborted ? "closed" : "lost");
  }

  // A proxy can end a stream in an orderly way half-way through. So an orderly end with something left
  // open is checked once by asking for what follows.
  #isOver() {
    if (!this.runId || !this.#callbacks.unfinished()) return true;
    if (this.#verifiedSeen === this.#seen) return true;
    this.#verifiedSeen = this.#seen;
    return false;
  }

  async #reopen(firstDelay) {
    if (!this.runId) return null;
    let delay = firstDelay;
    for (;;) {
      if (delay > 0) {
        this.#setWaiting(true);
        await this.#connectivity.nextChance(delay * (0.8 + Math.random() * 0.4), this.#abort.signal);
      }
      if (this.#abort.signal.aborted) return null;
      try {
        const response = await this.#api.runEvents(this.runId, Math.max(this.#seen, 0), this.#abort.signal);
        this.#setWaiting(false);
        return response;
      } catch (error) {
        if (!mayPass(error)) return null;
        delay = Math.min(Math.max(delay * 2, FIRST_DELAY_MS), SLOWEST_DELAY_MS);
      }
    }
  }

  #setWaiting(waiting) {
    if (waiting === this.#waiting) return;
    this.#waiting = waiting;
    this.#callbacks.reconnecting(waiting);
  }

  // Reads to the end of one connection; says whether it ended in an orderly way.
  async #read(response) {
    const reader = response.body.getReader();
    const parser = new SseParser((event) => this.#receive(event));
    try {
      for (;;) {
        const { done, value } = await withDeadline(reader.read(), SILENCE_MS);
        if (done) break;
        parser.push(value);
      }
      parser.end();
      return true;
    } catch {
      reader.cancel().catch(() => {});
      return false;
    }
  }

  #receive({ data, id, numbered }) {
    const sequence = numbered ? Number.parseInt(id.slice(id.lastIndexOf(":") + 1), 10) : Number.NaN;
    if (!Number.isNaN(sequence)) {
      // After a reconnection the server may send again what was already here.
      if (sequence <= this.#seen) return;
      this.#seen = sequence;
    }
    let event;
    try {
      event = JSON.parse(data);
    } catch {
      return;
    }
    if (event && typeof event.type === "string") this.#callbacks.event(event);
  }
}

function mayPass(error) {
  if (error instanceof NetworkError) return true;
  return error instanceof ApiError && (error.status >= 500 || error.status === 429 || error.status === 408);
}

function withDeadline(promise, ms) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new NetworkError()), ms);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
