// The API for runs of a Backchannel server of another origin. Part of chatkit-fetch.js.
import { RunFollower, delay } from "./run-follower.js";

// About a minute and a half.
const MAX_FAILURES = 12;
const CANCEL_ATTEMPTS = 5;
const CANCEL_DELAY_MS = 400;
// Headers of the element's requests that do not apply to requests about runs.
const EXCLUDED_HEADERS = ["accept", "content-type", "idempotency-key", "last-event-id"];

/** Makes requests with the headers and credentials of one of the element's operations, `op`. */
export class RunsApi {
  #base;
  #send;

  constructor(endpoint, send) {
    this.#base = endpoint.href.replace(/[?#].*$/, "").replace(/\/+$/, "");
    this.#send = send;
  }

  /** Cancels a run; tries again while the server cannot be reached. */
  async cancel(runId, op) {
    const path = `runs/${encodeURIComponent(runId)}/cancel`;
    for (let attempt = 1; attempt <= CANCEL_ATTEMPTS; attempt += 1) {
      try {
        // With keepalive, it is also sent while the page unloads.
        const { status } = await this.#request(path, op, { method: "POST", keepalive: true });
        if (status < 500) return;
      } catch {
        // The server was not reached.
      }
      await delay(CANCEL_DELAY_MS * 2 ** attempt);
    }
  }

  /** The runs of a thread that are queued or running, the oldest first. */
  async activeRuns(threadId, op) {
    const path = `threads/${encodeURIComponent(threadId)}/runs?status=active&limit=50`;
    const response = await this.#request(path, op, {});
    return response.ok ? (await response.json()).data.reverse() : [];
  }

  /** Follows a run. */
  follower(runId, op) {
    const path = `runs/${encodeURIComponent(runId)}/events`;
    const request = (after, signal) => this.#request(`${path}?after=${after}`, op, { signal });
    return new RunFollower(request, { maxFailures: MAX_FAILURES });
  }

  #request(path, { headers, init }, options) {
    const entries = Object.entries(headers).filter(([name]) => !EXCLUDED_HEADERS.includes(name));
    const credentials = init.credentials ? { credentials: init.credentials } : {};
    return this.#send(`${this.#base}/${path}`, { headers: Object.fromEntries(entries), ...credentials, ...options });
  }
}
