// For pages with OpenAI's ChatKit element and a Backchannel server: resumes streams whose connection broke, and makes
// the stop button cancel the run. Usage and limits: docs/howto/use-openais-chatkit.md
import { RunsApi } from "./runs-api.js";

const STREAMING = new Set([
  "threads.create",
  "threads.add_user_message",
  "threads.add_client_tool_output",
  "threads.add_structured_input",
  "threads.custom_action",
  "threads.retry_after_item",
]);
// Events that change what the element has loaded of a thread.
const CHANGES = /^thread\.(updated|item\.(added|done|removed|replaced))$/;
// How long the key of a request of unknown outcome is used again for the same request.
const KEY_MS = 60000;
const UPDATE_DELAY_MS = 700;
const UPDATE_ATTEMPTS = 30;

let unloading = false;
// In the capturing phase, which comes before the listeners that abort requests because of it.
addEventListener("pagehide", () => (unloading = true), { capture: true });
addEventListener("pageshow", () => (unloading = false), { capture: true });

/**
 * Makes the `api.url` and `api.fetch` of the element's options, and `attach(element)`, without which an answer that was
 * already running when the page was loaded is shown only when the element next loads the thread.
 *
 * `url` is the server's `/api/chatkit`. `fetch`, if given, makes all requests, as (string, init) with a plain object
 * of headers; it can add credentials.
 */
export function backchannelFetch({ url, fetch: send = (...request) => globalThis.fetch(...request) }) {
  const endpoint = new URL(url, document.baseURI);
  const runs = new RunsApi(endpoint, send);
  const updater = new Updater(runs);
  const keys = new IdempotencyKeys();
  return {
    url: endpoint.href,
    /** A `fetch`. Requests other than POSTs to `url` pass through unchanged. */
    async fetch(input, init = {}) {
      const op = await readOperation(endpoint, input, init);
      if (op && STREAMING.has(op.type)) return stream(op, { endpoint, send, runs, updater, keys });
      const response = await send(input, init);
      if (op?.type === "threads.get_by_id" && response.ok) updater.loaded(op.params.thread_id, op);
      return response;
    },
    /** Updates an element while a run of its thread is active that it does not stream itself. */
    attach: (element) => updater.attach(element),
  };
}

// The operation of a request to the endpoint, or null.
async function readOperation(endpoint, input, init) {
  const request = input instanceof Request ? input : null;
  const method = init.method ?? request?.method ?? "GET";
  const address = new URL(request ? request.url : input, document.baseURI);
  if (method.toUpperCase() !== "POST" || address.href !== endpoint.href) return null;
  const body = init.body ?? (await request?.clone().text());
  try {
    const { type, params } = JSON.parse(body);
    const headers = Object.fromEntries(new Headers(init.headers ?? request?.headers));
    const credentials = init.credentials ?? request?.credentials;
    const signal = init.signal ?? request?.signal ?? null;
    return { type, params: params ?? {}, body, headers, signal, init: credentials ? { ...init, credentials } : init };
  } catch {
    return null;
  }
}

async function stream(op, { endpoint, send, runs, updater, keys }) {
  op.signal?.throwIfAborted();
  const key = op.headers["idempotency-key"] ?? keys.keyFor(op.body);
  const headers = { ...op.headers, "idempotency-key": key, "backchannel-cancel": "explicit" };
  const cancel = (runId) => runs.cancel(runId, op).then(() => updater.updateAfter(runs.follower(runId, op)));
  // Without the element's signal: a run can be cancelled only once its id is known.
  const posted = send(endpoint.href, { ...op.init, method: "POST", body: op.body, headers, signal: undefined });
  let response;
  try {
    response = await unlessAborted(posted, op.signal);
  } catch (error) {
    const stopped = op.signal?.aborted && updater.isStop();
    if (!stopped) keys.reuse(op.body, key);
    posted.then((late) => discard(late, stopped && cancel)).catch(() => {});
    throw error;
  }
  if (response.status >= 500) keys.reuse(op.body, key);
  const runId = response.headers.get("X-Run-Id");
  if (!response.ok || !runId) return response;

  updater.exclude(runId);
  // The element may send the same request again, which must lead to the same run.
  const interrupted = () => {
    keys.reuse(op.body, key);
    updater.include(runId);
  };
  const aborted = () => (updater.isStop() ? cancel(runId) : interrupted());
  const body = resumedStream(runs.follower(runId, op), response, op.signal, { aborted, interrupted });
  return new Response(body, { status: response.status, statusText: response.statusText, headers: response.headers });
}

function discard(response, cancel) {
  const runId = response.headers.get("X-Run-Id");
  if (cancel && runId) cancel(runId);
  response.body?.cancel();
}

// One stream of whole events for the element, made from any number of connections.
function resumedStream(follower, response, signal, { aborted, interrupted }) {
  const encoder = new TextEncoder();
  const batches = follower.batches(response);
  const abort = (controller) => {
    if (follower.closed) return;
    aborted();
    follower.close();
    controller.error(signal.reason);
  };
  return new ReadableStream({
    start(controller) {
      if (signal?.aborted) abort(controller);
      signal?.addEventListener("abort", () => abort(controller), { once: true });
    },
    async pull(controller) {
      const { done, value, error } = await batches.next().catch((reason) => ({ error: reason }));
      if (follower.closed) return;
      if (value) {
        controller.enqueue(encoder.encode(value.map(frame).join("")));
        return;
      }
      follower.close();
      if (done) controller.close();
      else {
        interrupted();
        controller.error(error);
      }
    },
    cancel() {
      interrupted();
      follower.close();
    },
  });
}

function frame({ id, data }) {
  return `data: ${data.replaceAll("\n", "\ndata: ")}\n${id ? `id: ${id}\n` : ""}\n`;
}

function unlessAborted(promise, signal) {
  return new Promise((resolve, reject) => {
    promise.then(resolve, reject);
    signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

// A request of unknown outcome gets the same key when it is sent again; otherwise an equal body is a new message.
class IdempotencyKeys {
  #keys = new Map();

  /** Has the next request with this body use this key. */
  reuse(body, key) {
    this.#keys.set(body, { key, expires: Date.now() + KEY_MS });
  }

  keyFor(body) {
    const previous = this.#keys.get(body);
    this.#keys.delete(body);
    if (previous && Date.now() < previous.expires) return previous.key;
    // Not crypto.randomUUID, which plain http pages in a local network do not have.
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  }
}

// Follows runs of the element's thread that the element does not stream, and has the element update itself.
class Updater {
  #runs;
  #element = null;
  // The thread that was loaded last, as {id, op}, and the one whose runs are followed.
  #loaded = null;
  #thread = null;
  // The run that is followed, as {id, follower}.
  #run = null;
  // Ids of runs that the element streams, or that were followed here.
  #excluded = new Set();
  #timer = null;

  constructor(runs) {
    this.#runs = runs;
  }

  attach(element) {
    this.#element = element;
    if (this.#loaded) this.#follow(this.#loaded);
  }

  /** Whether an abort means that the person stopped the answer: elements also abort when removed or hidden. */
  isStop() {
    return !unloading && document.visibilityState !== "hidden" && (this.#element?.isConnected ?? true);
  }

  loaded(threadId, op) {
    this.#loaded = { id: threadId, op };
    if (this.#element && this.#thread?.id !== threadId) this.#follow(this.#loaded);
  }

  /** The element streams this run itself. */
  exclude(runId) {
    this.#excluded.add(runId);
    if (this.#run?.id === runId) this.#run.follower.close();
  }

  /** The element no longer streams this run, which goes on. */
  include(runId) {
    this.#excluded.delete(runId);
  }

  /** Updates the element when a run has ended: the replica that runs it may learn of a cancel a second later. */
  async updateAfter(follower) {
    const batches = follower.batches();
    try {
      while (!(await batches.next()).done);
    } catch {
      // Its events cannot be read, but its items can.
    }
    this.update();
  }

  /** Updates the element after a short delay; tries again while the element is busy. */
  update(attempts = UPDATE_ATTEMPTS) {
    if (!this.#element || this.#timer !== null || attempts === 0) return;
    this.#timer = setTimeout(async () => {
      this.#timer = null;
      try {
        await this.#element.fetchUpdates();
      } catch {
        this.update(attempts - 1);
      }
    }, UPDATE_DELAY_MS);
  }

  async #follow(thread) {
    if (this.#run && !this.#run.follower.closed) {
      this.#run.follower.close();
      this.include(this.#run.id);
    }
    this.#thread = thread;
    try {
      let run = await this.#nextRun(thread);
      while (run) {
        this.#run = run;
        this.#excluded.add(run.id);
        for await (const events of run.follower.batches()) if (events.some(changesThread)) this.update();
        if (!run.follower.closed) this.update();
        run = await this.#nextRun(thread);
      }
    } catch {
      // Tried again when the element loads the thread again.
    }
    if (this.#thread === thread) this.#thread = null;
  }

  async #nextRun(thread) {
    const active = await this.#runs.activeRuns(thread.id, thread.op);
    const next = active.find(({ id }) => !this.#excluded.has(id));
    if (!next || this.#thread !== thread) return null;
    return { id: next.id, follower: this.#runs.follower(next.id, thread.op) };
  }
}

function changesThread({ data }) {
  try {
    return CHANGES.test(JSON.parse(data).type);
  } catch {
    return false;
  }
}
