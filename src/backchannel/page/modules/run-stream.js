// Follows one run from its first event to its last, across broken connections.
import { ApiError, NetworkError } from "./api.js";
import { SseParser } from "./sse.js";

const FIRST_DELAY_MS = 400;
const SLOWEST_DELAY_MS = 8000;
// The longest wait that a server may ask for.
const MOST_PATIENCE_MS = 30000;
// Servers send heartbeats far more often; silence this long means that the connection is dead.
const SILENCE_MS = 60000;
// They answer at once, too, whether there are events or not.
const OPENING_MS = 15000;
// How often a request is sent again that met a restarting server, or none.
const RESEND_DELAYS_MS = [300, 1000, 2500];

/**
 * Callbacks: opened() once the server accepted the request; event(event) for every event;
 * reconnecting(yes); ended(how) with how = "complete", "lost" (the server no longer knows the run) or
 * "closed" (by `close`).
 */
export class RunStream {
  #api;
  #connectivity;
  #callbacks;
  #abort = new AbortController();
  #seen = -1;
  #over = false;
  #retry = null;
  #failures = 0;
  #waiting = false;

  constructor(api, connectivity, callbacks) {
    this.#api = api;
    this.#connectivity = connectivity;
    this.#callbacks = callbacks;
    this.runId = null;
  }

  /** Starts an operation; throws ApiError or NetworkError when the server does not accept it. */
  async start(type, params, key) {
    const response = await this.#send(type, params, key);
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

  // The same key each time: whatever became of the attempt before, the message is taken in once.
  async #send(type, params, key) {
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await this.#api.stream(type, params, key, this.#abort.signal);
      } catch (error) {
        const delay = RESEND_DELAYS_MS[attempt];
        if (delay === undefined || !isRestart(error) || this.#connectivity.state === "offline") throw error;
        const asked = Math.min(askedPatience(error), SLOWEST_DELAY_MS);
        await this.#connectivity.nextChance(Math.max(delay, asked), this.#abort.signal);
        if (this.#abort.signal.aborted) throw error;
      }
    }
  }

  async #follow(firstResponse) {
    let response = firstResponse ?? (await this.#reopen(0));
    while (response) {
      await this.#read(response);
      if (this.#over || this.#abort.signal.aborted) break;
      // However orderly the stream ended: without the last word it was cut, and the run goes on.
      response = await this.#reopen(this.#delay());
    }
    const cut = this.#over ? "complete" : "lost";
    this.#callbacks.ended(this.#abort.signal.aborted ? "closed" : cut);
  }

  async #reopen(firstDelay) {
    if (!this.runId) return null;
    let delay = firstDelay;
    for (;;) {
      if (delay > 0) {
        this.#setWaiting(true);
        await this.#connectivity.nextChance(delay, this.#abort.signal);
      }
      if (this.#abort.signal.aborted) return null;
      this.#failures += 1;
      try {
        const response = await this.#open();
        this.#setWaiting(false);
        return response;
      } catch (error) {
        if (!mayPass(error)) return null;
        delay = Math.max(this.#delay(), askedPatience(error));
      }
    }
  }

  async #open() {
    const opening = new AbortController();
    const timer = setTimeout(() => opening.abort(new NetworkError()), OPENING_MS);
    const signal = AbortSignal.any([this.#abort.signal, opening.signal]);
    try {
      return await this.#api.runEvents(this.runId, Math.max(this.#seen, 0), signal);
    } finally {
      clearTimeout(timer);
    }
  }

  // Never less than the server asked for; a little more, so that not everybody comes at the same moment.
  #delay() {
    const first = this.#retry ?? FIRST_DELAY_MS;
    const grown = first * 2 ** Math.min(this.#failures, 10);
    return Math.max(first, Math.min(grown, SLOWEST_DELAY_MS)) * (1 + Math.random() * 0.3);
  }

  #setWaiting(waiting) {
    if (waiting === this.#waiting) return;
    this.#waiting = waiting;
    this.#callbacks.reconnecting(waiting);
  }

  // Reads to the end of one connection, whether that is the end of the run or not.
  async #read(response) {
    const reader = response.body.getReader();
    const parser = new SseParser(
      (event) => this.#receive(event),
      (comment) => {
        if (comment === "end") this.#over = true;
      },
    );
    const stopWatching = whenBackOnline(this.#connectivity, () => reader.cancel().catch(() => {}));
    try {
      while (!this.#over) {
        const { done, value } = await withDeadline(reader.read(), SILENCE_MS);
        if (done) break;
        parser.push(value);
        if (parser.retry !== null) this.#retry = Math.min(parser.retry, MOST_PATIENCE_MS);
      }
    } catch {
      // Broken off, or silent for too long.
    }
    stopWatching();
    reader.cancel().catch(() => {});
  }

  #receive({ data, id, numbered }) {
    this.#failures = 0;
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

// A connection that was open when the network went away may never find out that it is dead.
function whenBackOnline(connectivity, callback) {
  let wasOffline = false;
  const onChange = () => {
    if (connectivity.state === "offline") wasOffline = true;
    else if (wasOffline) callback();
  };
  connectivity.addEventListener("change", onChange);
  return () => connectivity.removeEventListener("change", onChange);
}

function isRestart(error) {
  return error instanceof NetworkError || (error instanceof ApiError && [502, 503, 504].includes(error.status));
}

function mayPass(error) {
  if (error instanceof NetworkError) return true;
  return error instanceof ApiError && (error.status >= 500 || error.status === 429 || error.status === 408);
}

function askedPatience(error) {
  return Math.min((error.retryAfter ?? 0) * 1000, MOST_PATIENCE_MS);
}

function withDeadline(promise, ms) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new NetworkError()), ms);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
