// Starts a run of the chat page on the server, or joins one, and delivers its events.
import { ApiError, NetworkError } from "./api.js";
import { RunFollower } from "./run-follower.js";

// How often a request that met no server, or one that restarts, is sent again.
const RESEND_DELAYS_MS = [300, 1000, 2500];
const MAX_RESEND_DELAY_MS = 8000;

/**
 * Callbacks: opened() once the server accepted the request; event(event) for every event;
 * reconnecting(yes); ended(how) with how = "complete", "lost" (the server does not know the run, or refuses) or
 * "closed" (by `close`).
 */
export class RunStream {
  #api;
  #connectivity;
  #callbacks;
  #follower;
  #starting = new AbortController();
  #reconnecting = false;

  constructor(api, connectivity, callbacks) {
    this.#api = api;
    this.#connectivity = connectivity;
    this.#callbacks = callbacks;
    this.#follower = new RunFollower((after, signal) => this.#request(after, signal), {
      wait: (ms, signal) => {
        this.#setReconnecting(true);
        return connectivity.nextChance(ms, signal);
      },
    });
    this.runId = null;
  }

  /** Starts an operation; throws ApiError or NetworkError when the server does not accept it. */
  async start(type, params, key) {
    const response = await this.#send(type, params, key);
    this.runId = response.headers.get("X-Run-Id");
    this.#callbacks.opened();
    this.#deliver(response);
  }

  /** Joins a run from its first event. */
  attach(runId) {
    this.runId = runId;
    this.#callbacks.opened();
    this.#deliver(null);
  }

  /** Closes the connection at once. The run goes on. */
  close() {
    this.#starting.abort();
    this.#follower.close();
  }

  // With the same key each time, so that the server accepts the message once.
  async #send(type, params, key) {
    const { signal } = this.#starting;
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await this.#api.stream(type, params, key, signal);
      } catch (error) {
        const delay = RESEND_DELAYS_MS[attempt];
        if (delay === undefined || !isRestart(error) || this.#connectivity.state === "offline") throw error;
        const retryAfter = Math.min((error.retryAfter ?? 0) * 1000, MAX_RESEND_DELAY_MS);
        await this.#connectivity.nextChance(Math.max(delay, retryAfter), signal);
        if (signal.aborted) throw error;
      }
    }
  }

  async #request(after, signal) {
    // Without its id, a run cannot be asked for.
    if (!this.runId) return new Response(null, { status: 404 });
    const response = await this.#api.runEvents(this.runId, after, signal);
    if (response.ok) this.#setReconnecting(false);
    return response;
  }

  async #deliver(response) {
    try {
      for await (const batch of this.#follower.batches(response)) {
        for (const { data } of batch) if (!this.#follower.closed) this.#deliverEvent(data);
      }
    } catch {
      // Refused.
    }
    const how = this.#follower.ended ? "complete" : "lost";
    this.#callbacks.ended(this.#follower.closed ? "closed" : how);
  }

  #deliverEvent(data) {
    let event;
    try {
      event = JSON.parse(data);
    } catch {
      return;
    }
    if (event && typeof event.type === "string") this.#callbacks.event(event);
  }

  #setReconnecting(reconnecting) {
    if (reconnecting === this.#reconnecting) return;
    this.#reconnecting = reconnecting;
    this.#callbacks.reconnecting(reconnecting);
  }
}

function isRestart(error) {
  return error instanceof NetworkError || (error instanceof ApiError && [502, 503, 504].includes(error.status));
}
