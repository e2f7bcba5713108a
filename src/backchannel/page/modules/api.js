// The server's interface: ChatKit operations, and the runs that answer them.
import { metaContent } from "./dom.js";
import { sendFile } from "./upload-request.js";

// More than can be active in one thread.
const MAX_RUNS = 50;
const HEALTH_MS = 10000;
const LOGGED_OUT = "You are logged out. Log in in another tab, then try again here.";

/** The server refused a request and said why. */
export class ApiError extends Error {
  constructor(status, body, retryAfter) {
    super(body.message || `The server answered with status ${status}.`);
    this.name = "ApiError";
    this.status = status;
    this.code = body.code ?? "http_error";
    this.requestId = body.request_id ?? null;
    /** Seconds to wait before trying again, or null. */
    this.retryAfter = retryAfter;
  }
}

/** The server could not be reached. */
export class NetworkError extends Error {
  constructor() {
    super("The server cannot be reached.");
    this.name = "NetworkError";
  }
}

/** An idempotency key: the same one for every repetition of a request. */
export function attemptKey() {
  // Not crypto.randomUUID, which plain http pages in a local network do not have.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A user message, with the ids of its attachments. */
export function userInput(text, attachments = []) {
  return {
    content: text === "" ? [] : [{ type: "input_text", text }],
    attachments,
    quoted_text: null,
    inference_options: {},
  };
}

/** The address of something on this server. */
export function serverAddress(path) {
  const prefix = metaContent("backchannel-base");
  return new URL(path, new URL(prefix ? `${prefix.replace(/\/+$/, "")}/` : "./", document.baseURI));
}

/** Calls the server that this page came from. */
export class ChatApi {
  #connectivity;
  /** Settled once it is clear whether the server knows the reader. */
  introduced = Promise.resolve();

  constructor(connectivity) {
    this.#connectivity = connectivity;
  }

  /** Makes the reader a visitor, if the server does not know them; resolves to {known}, as it was before. */
  async visit() {
    const signal = AbortSignal.timeout(HEALTH_MS);
    return this.#json(await this.#post("api/chatkit/visitor", {}, signal));
  }

  /** Performs an operation and returns its JSON answer. */
  async call(type, params) {
    const response = await this.#post("api/chatkit", { type, params, metadata: {} });
    return this.#json(response);
  }

  /**
   * Starts an operation whose response is an event stream; returns the open response. A second request with the same
   * key joins the run that the first one started.
   */
  async stream(type, params, key, signal) {
    // Else this request could make another visitor of a reader who is about to become one.
    await this.introduced;
    // The second header says that this client stops runs by `cancel`, so that the server sets `allow_cancel`.
    const headers = { "Idempotency-Key": key, "Backchannel-Cancel": "explicit" };
    return this.#post("api/chatkit", { type, params, metadata: {} }, signal, headers);
  }

  /** Requests the events of a run after a sequence number; resolves with the response, whatever its status. */
  runEvents(runId, after, signal) {
    return this.#request(`api/chatkit/runs/${encodeURIComponent(runId)}/events?after=${after}`, { signal });
  }

  /** Cancels a run, queued or running; returns its new state. */
  async cancel(runId) {
    return this.#json(await this.#post(`api/chatkit/runs/${encodeURIComponent(runId)}/cancel`, {}));
  }

  /** The queued and running runs of a thread, newest first; `text` is the message of a queued one. */
  async activeRuns(threadId) {
    const path = `api/chatkit/threads/${encodeURIComponent(threadId)}/runs?status=active&limit=${MAX_RUNS}`;
    const page = await this.#json(await this.#fetch(path, {}));
    return page.data ?? [];
  }

  /** The newest run of a thread, whatever its status, or null. */
  async newestRun(threadId) {
    const path = `api/chatkit/threads/${encodeURIComponent(threadId)}/runs?limit=1`;
    const page = await this.#json(await this.#fetch(path, {}));
    return page.data?.[0] ?? null;
  }

  /**
   * The reader's threads in which each word of the text begins a word, the best first, as {data, has_more};
   * each of `data` is {thread, title, excerpts}.
   */
  async searchThreads(text, limit, signal) {
    // Not encodeURIComponent, which throws on half of a surrogate pair.
    const query = new URLSearchParams({ q: text, limit });
    return this.#json(await this.#fetch(`api/chatkit/threads/search?${query}`, { signal }));
  }

  /** Who the reader is, as `GET /auth/me` says it; rejects if nobody. */
  async me() {
    const response = await this.#request("auth/me", {});
    if (!response.ok) throw await refusal(response);
    return this.#json(response);
  }

  /** What the reader has used, and what is left of budgets. */
  async usage() {
    return this.#json(await this.#fetch("api/chatkit/usage", {}));
  }

  /** What may be attached to messages; rejects if nothing. */
  async uploadLimits() {
    await this.introduced;
    return this.#json(await this.#fetch("api/chatkit/uploads", {}));
  }

  /** Uploads a file; see `sendFile`. A login that has ended is only reported: the login page would lose the file. */
  async upload(file, name, options) {
    await this.introduced;
    try {
      const attachment = await sendFile(serverAddress("api/chatkit/uploads").href, file, name, options);
      this.#connectivity.succeeded();
      return attachment;
    } catch (error) {
      if (error instanceof ApiError) this.#connectivity.succeeded();
      if (error instanceof NetworkError) this.#connectivity.failed();
      if (error.status === 401 && metaContent("backchannel-login")) error.message = LOGGED_OUT;
      throw error;
    }
  }

  /** The address of a page of this server. */
  address(path) {
    return serverAddress(path).href;
  }

  /** The health report of the server, with its model. */
  async health() {
    // With a time-out: on a connection from before the network changed, a response would never come.
    return this.#json(await this.#fetch("health", { signal: AbortSignal.timeout(HEALTH_MS) }));
  }

  #post(path, body, signal, headers = {}) {
    return this.#fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", ...headers },
      body: JSON.stringify(body),
      signal,
    });
  }

  async #fetch(path, options) {
    const response = await this.#request(path, options);
    if (response.ok) return response;
    if (response.status === 401) this.#logIn();
    throw await refusal(response);
  }

  async #request(path, options) {
    let response;
    try {
      response = await fetch(serverAddress(path), { credentials: "same-origin", ...options });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      this.#connectivity.failed();
      throw new NetworkError();
    }
    this.#connectivity.succeeded();
    return response;
  }

  // Goes to the login page, where there is one, and comes back to the same place afterwards.
  #logIn() {
    const page = metaContent("backchannel-login");
    if (!page) return;
    const address = serverAddress(page);
    address.searchParams.set("return_to", location.pathname + location.search + location.hash);
    location.assign(address);
  }

  async #json(response) {
    try {
      return await response.json();
    } catch {
      throw new ApiError(response.status, { code: "bad_answer", message: "The server's answer is not JSON." }, null);
    }
  }
}

async function refusal(response) {
  let body = {};
  try {
    body = (await response.json()) ?? {};
  } catch {
    // A proxy may respond with HTML; then only the status is known.
  }
  const seconds = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  return new ApiError(response.status, body, Number.isNaN(seconds) ? null : seconds);
}
