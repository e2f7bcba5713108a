// Follows the event stream of a run across connections until the run has ended. For the page and chatkit-fetch.js.
import { SseParser } from "./sse.js";

const FIRST_DELAY_MS = 400;
const MIN_DELAY_MS = 100;
const MAX_DELAY_MS = 8000;
// The longest wait that a server may ask for, and how long to wait while the browser says that it is offline.
const MAX_RETRY_MS = 30000;
// A server answers at once when it is asked for events, whether there are any or not.
const CONNECT_TIMEOUT_MS = 15000;
// Statuses below 500 of requests that can succeed later.
const TRANSIENT_STATUSES = [408, 425, 429];

// Of servers that send no X-Heartbeat-Seconds.
const DEFAULT_HEARTBEAT_SECONDS = 15;
const MAX_HEARTBEAT_SECONDS = 3600;

/**
 * How many milliseconds an event stream may be silent before its connection counts as lost: three heartbeats and five
 * seconds. `heartbeat` is the response's X-Heartbeat-Seconds; 15 is used if it is missing, or not from above 0 to 3600.
 */
export function silenceLimitMs(heartbeat) {
  const seconds = Number(heartbeat);
  const valid = seconds > 0 && seconds <= MAX_HEARTBEAT_SECONDS;
  return (3 * (valid ? seconds : DEFAULT_HEARTBEAT_SECONDS) + 5) * 1000;
}

/** Follows one run, from an open response or from its first event. */
export class RunFollower {
  #request;
  #wait;
  #maxFailures;
  #closing = new AbortController();
  // The number of the newest event.
  #sequence = 0;
  #ended = false;
  #retryMs = FIRST_DELAY_MS;
  // Requests since the last event: the more, the longer the wait before the next one.
  #attempts = 0;
  // Requests in a row that were not answered with a stream.
  #failures = 0;

  /**
   * `request(after, signal)` requests the events after a sequence number: it resolves with the response, whatever its
   * status, or rejects if there is none. `wait(ms, signal)` resolves after `ms`, and may resolve earlier when the
   * server can be reached again or `signal` aborts. After `maxFailures` failed requests in a row it gives up.
   */
  constructor(request, { wait = delay, maxFailures = Infinity } = {}) {
    this.#request = request;
    this.#wait = wait;
    this.#maxFailures = maxFailures;
  }

  /** Whether the server has said that the run has ended. */
  get ended() {
    return this.#ended;
  }

  get closed() {
    return this.#closing.signal.aborted;
  }

  /** Closes the connection. The run goes on. */
  close() {
    this.#closing.abort();
  }

  /**
   * Yields the events as {id, data, …}, in batches, each event once. Returns when the run has `ended`, after `close`,
   * or if the server does not know the run; throws a TypeError if it refuses to send the events or is not reached.
   */
  async *batches(response = null) {
    let connection = response ?? (await this.#connect());
    while (connection) {
      yield* this.#read(connection);
      if (this.#ended || this.closed) return;
      // Proxies end streams in good order, too: without the server's `: end` the run goes on.
      await this.#backOff();
      connection = await this.#connect();
    }
  }

  // Null if it was closed or the server does not know the run.
  async #connect() {
    while (!this.closed) {
      this.#attempts += 1;
      const response = await this.#attempt();
      if (response?.status === 204) {
        // There is no event after the one that came last.
        this.#ended = true;
        return null;
      }
      if (response?.ok) {
        this.#failures = 0;
        return response;
      }
      response?.body?.cancel().catch(() => {});
      if (this.closed || response?.status === 404) return null;
      if (navigator.onLine) this.#failures += 1;
      const refused = response && response.status < 500 && !TRANSIENT_STATUSES.includes(response.status);
      if (refused || this.#failures > this.#maxFailures) throw new TypeError("The run's events cannot be read.");
      await this.#backOff(Number(response?.headers.get("Retry-After")) * 1000 || 0);
    }
    return null;
  }

  // Null if there was no response.
  async #attempt() {
    // Not AbortSignal.any, which came to browsers only in 2024.
    const connecting = new AbortController();
    const abort = () => connecting.abort();
    const timeout = () => connecting.abort(new DOMException("The server does not answer.", "TimeoutError"));
    const timer = setTimeout(timeout, CONNECT_TIMEOUT_MS);
    this.#closing.signal.addEventListener("abort", abort);
    try {
      return await this.#request(this.#sequence, connecting.signal);
    } catch {
      return null;
    } finally {
      clearTimeout(timer);
      this.#closing.signal.removeEventListener("abort", abort);
    }
  }

  // Never shorter than the server asked for. The jitter keeps clients from all returning at the same moment.
  #backOff(retryAfterMs = 0) {
    const grown = Math.min(this.#retryMs * 2 ** Math.min(this.#attempts, 10), MAX_DELAY_MS);
    const ms = Math.max(this.#retryMs, grown, Math.min(retryAfterMs, MAX_RETRY_MS));
    return this.#wait(ms * (1 + Math.random() * 0.3), this.#closing.signal);
  }

  // Reads one connection until it ends, is lost or closed, or the run has ended.
  async *#read(response) {
    const events = [];
    const parser = new SseParser(
      (event) => this.#isNew(event) && events.push(event),
      (comment) => (this.#ended ||= comment === "end"),
    );
    const limit = silenceLimitMs(response.headers.get("X-Heartbeat-Seconds"));
    const reader = response.body.getReader();
    const disconnect = () => reader.cancel().catch(() => {});
    // A connection from before the network changed is never reported as broken.
    addEventListener("online", disconnect);
    this.#closing.signal.addEventListener("abort", disconnect);
    try {
      while (!this.#ended && !this.closed) {
        const timer = setTimeout(disconnect, limit);
        const { done, value } = await reader.read().finally(() => clearTimeout(timer));
        if (done) break;
        parser.push(value);
        if (parser.retry !== null) this.#retryMs = Math.max(MIN_DELAY_MS, Math.min(parser.retry, MAX_RETRY_MS));
        if (events.length > 0) yield events.splice(0);
      }
    } catch {
      // The connection broke.
    } finally {
      removeEventListener("online", disconnect);
      this.#closing.signal.removeEventListener("abort", disconnect);
      disconnect();
    }
  }

  // After a reconnection the server may repeat events.
  #isNew({ id, numbered }) {
    this.#attempts = 0;
    const sequence = numbered ? Number.parseInt(id.slice(id.lastIndexOf(":") + 1), 10) : Number.NaN;
    if (sequence <= this.#sequence) return false;
    if (!Number.isNaN(sequence)) this.#sequence = sequence;
    return true;
  }
}

/** Resolves after `ms`, or when the browser is online again, or when `signal` aborts. */
export function delay(ms, signal = null) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      removeEventListener("online", done);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    // Browsers that say they are offline are not always right.
    const timer = setTimeout(done, navigator.onLine ? ms : MAX_RETRY_MS);
    addEventListener("online", done);
    signal?.addEventListener("abort", done);
  });
}
