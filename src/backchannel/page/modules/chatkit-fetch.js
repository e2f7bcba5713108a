// For pages with OpenAI's ChatKit element in front of a Backchannel server: answers that survive the connection,
// and a stop that stops. How it is used, and what it cannot do: docs/howto/use-openais-chatkit.md
import { Run, Server } from "./chatkit-run.js";

const STREAMING = new Set([
  "threads.create",
  "threads.add_user_message",
  "threads.add_client_tool_output",
  "threads.add_structured_input",
  "threads.custom_action",
  "threads.retry_after_item",
]);
// Events after which the thread is not what the element has loaded.
const CHANGES = /^thread\.(updated|item\.(added|done|removed|replaced))$/;
// How long a request of unknown outcome may be repeated under its name.
const KEY_MS = 60000;
const UPDATE_MS = 700;
const UPDATE_ATTEMPTS = 30;

let leaving = false;
// In the capturing phase, to know it before anybody breaks off requests because of it.
addEventListener("pagehide", () => (leaving = true), { capture: true });
addEventListener("pageshow", () => (leaving = false), { capture: true });

/**
 * The `api.url` and `api.fetch` of the element's options, and `attach(element)`, without which an answer that was
 * going on when the page was loaded shows only once the element asks again by itself.
 *
 * `url` is the server's `/api/chatkit`. `fetch`, if given, makes all requests, as (string, init) with a plain object
 * of headers; it can add credentials.
 */
export function backchannelFetch({ url, fetch: send = (...request) => globalThis.fetch(...request) }) {
  const endpoint = new URL(url, document.baseURI);
  const server = new Server(endpoint, send);
  const watcher = new Watcher(server);
  const keys = new Keys();
  return {
    url: endpoint.href,
    /** A `fetch`. Whatever is not a POST to `url` passes through it unchanged. */
    async fetch(input, init = {}) {
      const op = await readOperation(endpoint, input, init);
      if (op && STREAMING.has(op.type)) return stream(op, { endpoint, send, server, watcher, keys });
      const response = await send(input, init);
      if (op?.type === "threads.get_by_id" && response.ok) watcher.loaded(op.params.thread_id, op);
      return response;
    },
    /** Has an element updated while an answer goes on that it does not follow itself. */
    attach: (element) => watcher.attach(element),
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

async function stream(op, { endpoint, send, server, watcher, keys }) {
  op.signal?.throwIfAborted();
  const key = op.headers["idempotency-key"] ?? keys.take(op.body);
  const headers = { ...op.headers, "idempotency-key": key, "backchannel-cancel": "explicit" };
  const stop = (runId) => server.stop(runId, op).then(() => watcher.updateAfter(new Run(server, runId, op)));
  // Not with the element's signal: a run must have got its name before it can be stopped.
  const posted = send(endpoint.href, { ...op.init, method: "POST", body: op.body, headers, signal: undefined });
  let response;
  try {
    response = await unlessAborted(posted, op.signal);
  } catch (error) {
    const stopped = op.signal?.aborted && watcher.meansStop();
    if (!stopped) keys.keep(op.body, key);
    posted.then((late) => leave(late, stopped && stop)).catch(() => {});
    throw error;
  }
  if (response.status >= 500) keys.keep(op.body, key);
  const runId = response.headers.get("X-Run-Id");
  if (!response.ok || !runId) return response;

  const run = new Run(server, runId, op);
  watcher.leaveTo(run);
  // The element may ask again, for the same run.
  const unresolved = () => {
    keys.keep(op.body, key);
    watcher.takeBack(run);
  };
  const aborted = () => (watcher.meansStop() ? stop(runId) : unresolved());
  const { status, statusText, headers: given } = response;
  return new Response(streamOf(run, response, op.signal, { aborted, unresolved }), { status, statusText, headers: given });
}

function leave(response, stop) {
  const runId = response.headers.get("X-Run-Id");
  if (stop && runId) stop(runId);
  response.body?.cancel();
}

// What the element reads: one stream of whole events, however many connections it takes.
function streamOf(run, response, signal, { aborted, unresolved }) {
  const encoder = new TextEncoder();
  const batches = run.follow(response);
  const abort = (controller) => {
    if (!run.open) return;
    aborted();
    run.close();
    controller.error(signal.reason);
  };
  return new ReadableStream({
    start(controller) {
      if (signal?.aborted) abort(controller);
      signal?.addEventListener("abort", () => abort(controller), { once: true });
    },
    async pull(controller) {
      const { done, value, error } = await batches.next().catch((reason) => ({ error: reason }));
      if (!run.open) return;
      if (value) {
        controller.enqueue(encoder.encode(value.map(frame).join("")));
        return;
      }
      run.close();
      if (done) controller.close();
      else {
        unresolved();
        controller.error(error);
      }
    },
    cancel() {
      unresolved();
      run.close();
    },
  });
}

function frame({ id, data }) {
  return `${id ? `id: ${id}\n` : ""}data: ${data.replaceAll("\n", "\ndata: ")}\n\n`;
}

function unlessAborted(promise, signal) {
  return new Promise((resolve, reject) => {
    promise.then(resolve, reject);
    signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

// The names of requests of which nobody knows whether they arrived. Only such a request is repeated by sending the
// same again; otherwise, somebody said the same thing twice.
class Keys {
  #kept = new Map();

  keep(body, key) {
    this.#kept.set(body, { key, until: Date.now() + KEY_MS });
  }

  take(body) {
    const kept = this.#kept.get(body);
    this.#kept.delete(body);
    if (kept && Date.now() < kept.until) return kept.key;
    // Not crypto.randomUUID, which plain http pages in a local network do not have.
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  }
}

// Follows what goes on in the thread that the element shows, but does not stream, and has the element update itself.
class Watcher {
  #server;
  #element = null;
  // The thread that was loaded last, as {id, op}; and the one that is being watched.
  #loaded = null;
  #watched = null;
  #run = null;
  // Ids of runs that the element follows, or that were followed to their end.
  #known = new Set();
  #timer = null;

  constructor(server) {
    this.#server = server;
  }

  attach(element) {
    this.#element = element;
    if (this.#loaded) this.#watch(this.#loaded);
  }

  /** Whether an aborted request is the person's doing: elements abort them, too, when they go away or are not seen. */
  meansStop() {
    return !leaving && document.visibilityState !== "hidden" && (this.#element?.isConnected ?? true);
  }

  loaded(threadId, op) {
    this.#loaded = { id: threadId, op };
    if (this.#element && this.#watched?.id !== threadId) this.#watch(this.#loaded);
  }

  /** The element follows this run itself. */
  leaveTo({ id }) {
    this.#known.add(id);
    if (this.#run?.id === id) this.#run.close();
  }

  /** The element follows this run no longer, though it goes on. */
  takeBack({ id }) {
    this.#known.delete(id);
  }

  /** Has the element update itself when a run has ended: the replica that makes it may hear of a stop a second later. */
  async updateAfter(run) {
    const events = run.follow();
    try {
      while (!(await events.next()).done);
    } catch {
      // It cannot be followed; what is kept of it shows all the same.
    }
    this.update();
  }

  /** Has the element update itself, soon; later, if it is busy then. */
  update(attempts = UPDATE_ATTEMPTS) {
    if (!this.#element || this.#timer !== null || attempts === 0) return;
    this.#timer = setTimeout(async () => {
      this.#timer = null;
      try {
        await this.#element.fetchUpdates();
      } catch {
        this.update(attempts - 1);
      }
    }, UPDATE_MS);
  }

  async #watch(thread) {
    if (this.#run?.open) {
      this.#run.close();
      this.takeBack(this.#run);
    }
    this.#watched = thread;
    try {
      let run = await this.#next(thread);
      while (run) {
        this.#run = run;
        this.#known.add(run.id);
        for await (const events of run.follow()) if (events.some(changesThread)) this.update();
        if (run.open) this.update();
        run = await this.#next(thread);
      }
    } catch {
      // The element will ask again.
    }
    if (this.#watched === thread) this.#watched = null;
  }

  async #next(thread) {
    const runs = await this.#server.activeRuns(thread.id, thread.op);
    const next = runs.find(({ id }) => !this.#known.has(id));
    return next && this.#watched === thread ? new Run(this.#server, next.id, thread.op) : null;
  }
}

function changesThread({ data }) {
  try {
    return CHANGES.test(JSON.parse(data).type);
  } catch {
    return false;
  }
}
