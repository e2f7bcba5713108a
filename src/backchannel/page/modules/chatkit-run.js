// A run on a Backchannel server as seen from another page: followed to its end, or stopped. Part of chatkit-fetch.js.
import { SseParser } from "./sse.js";

const FIRST_DELAY_MS = 400;
const SLOWEST_DELAY_MS = 8000;
const MOST_PATIENCE_MS = 30000;
const MOST_FAILURES = 12;
const STOP_ATTEMPTS = 5;
// The server answers at once and then says something every few seconds, whatever happens.
const OPENING_MS = 15000;
const SILENCE_MS = 60000;
// What belongs to the element's own request, not to those that are made on its behalf.
const OWN_HEADERS = ["accept", "content-type", "idempotency-key", "last-event-id"];

/** What the server offers beside the protocol, asked with the headers and credentials of one of the element's requests. */
export class Server {
  #base;
  #send;

  constructor(endpoint, send) {
    this.#base = endpoint.href.replace(/[?#].*$/, "").replace(/\/+$/, "");
    this.#send = send;
  }

  request(path, { headers, init }, options) {
    const kept = Object.fromEntries(Object.entries(headers).filter(([name]) => !OWN_HEADERS.includes(name)));
    const credentials = init.credentials ? { credentials: init.credentials } : {};
    return this.#send(`${this.#base}/${path}`, { headers: kept, ...credentials, ...options });
  }

  /** Stops a run; if need be, as soon as the server can be reached. */
  async stop(runId, op) {
    const path = `runs/${encodeURIComponent(runId)}/cancel`;
    for (let attempt = 1; attempt <= STOP_ATTEMPTS; attempt += 1) {
      try {
        // Sent even if the page goes away now.
        const { status } = await this.request(path, op, { method: "POST", keepalive: true });
        if (status < 500) return;
      } catch {
        // Not reached.
      }
      await nextChance(FIRST_DELAY_MS * 2 ** attempt);
    }
  }

  /** The runs of a thread that go on or wait, the oldest first. */
  async activeRuns(threadId, op) {
    const path = `threads/${encodeURIComponent(threadId)}/runs?status=active&limit=50`;
    const response = await this.request(path, op, {});
    return response.ok ? (await response.json()).data.reverse() : [];
  }
}

/** One run, followed across broken connections. */
export class Run {
  #server;
  #op;
  #closing = new AbortController();
  #seen = 0;
  #over = false;
  #retry = FIRST_DELAY_MS;
  #failures = 0;

  constructor(server, id, op) {
    this.#server = server;
    this.id = id;
    this.#op = op;
  }

  get open() {
    return !this.#closing.signal.aborted;
  }

  /** Follows it no longer; the run itself goes on. */
  close() {
    this.#closing.abort();
  }

  /**
   * Its events as {id, data}, in lists, up to its end; from an open response on, or from the first one.
   * Throws when it cannot be followed any more.
   */
  async *follow(response = null) {
    let reading = response ?? (await this.#open());
    while (reading) {
      yield* this.#read(reading);
      if (this.#over || !this.open) return;
      // However orderly it ended: without the last word it was cut.
      await this.#pause();
      reading = await this.#open();
    }
  }

  // Null if there is nothing to tell any more: the run is closed, or gone together with its thread.
  async #open() {
    while (this.open) {
      const response = await this.#attempt();
      if (response?.status === 404) return null;
      if (response?.ok) return response;
      if (navigator.onLine) this.#failures += 1;
      const refused = response && response.status < 500 && ![408, 425, 429].includes(response.status);
      if (refused || this.#failures > MOST_FAILURES) throw new TypeError("The answer cannot be followed any more.");
      await this.#pause();
    }
    return null;
  }

  async #attempt() {
    const opening = new AbortController();
    const timer = setTimeout(() => opening.abort(), OPENING_MS);
    const signal = AbortSignal.any([this.#closing.signal, opening.signal]);
    try {
      const path = `runs/${encodeURIComponent(this.id)}/events?after=${this.#seen}`;
      return await this.#server.request(path, this.#op, { signal });
    } catch {
      return null;
    } finally {
      clearTimeout(timer);
    }
  }

  // Never less than the server asked for; a little more, so that not everybody comes at the same moment.
  #pause() {
    const grown = Math.min(this.#retry * 2 ** this.#failures, SLOWEST_DELAY_MS);
    return nextChance(Math.max(this.#retry, grown) * (1 + Math.random() * 0.3), this.#closing.signal);
  }

  async *#read(response) {
    const heard = [];
    const parser = new SseParser(
      (event) => this.#isNew(event) && heard.push(event),
      (comment) => (this.#over ||= comment === "end"),
    );
    const reader = response.body.getReader();
    const drop = () => reader.cancel().catch(() => {});
    // A connection from before the network changed may never find out that it is dead.
    addEventListener("online", drop);
    this.#closing.signal.addEventListener("abort", drop);
    try {
      while (!this.#over && this.open) {
        const silence = setTimeout(drop, SILENCE_MS);
        const { done, value } = await reader.read().finally(() => clearTimeout(silence));
        if (done) break;
        parser.push(value);
        if (parser.retry !== null) this.#retry = Math.min(parser.retry, MOST_PATIENCE_MS);
        if (heard.length > 0) yield heard.splice(0);
      }
    } catch {
      // Broken off.
    } finally {
      removeEventListener("online", drop);
      this.#closing.signal.removeEventListener("abort", drop);
      drop();
    }
  }

  // After a reconnection the server may send again what was already here.
  #isNew({ id, numbered }) {
    this.#failures = 0;
    const sequence = numbered ? Number(id.slice(id.lastIndexOf(":") + 1)) : Number.NaN;
    if (sequence <= this.#seen) return false;
    if (sequence > 0) this.#seen = sequence;
    return true;
  }
}

// Resolves after `ms`, or when the network returns; browsers that say they are offline are not always right.
function nextChance(ms, signal) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      removeEventListener("online", done);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, navigator.onLine ? ms : MOST_PATIENCE_MS);
    addEventListener("online", done);
    signal?.addEventListener("abort", done);
  });
}
