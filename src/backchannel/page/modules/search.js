// The state of a full-text search over threads. No DOM here.
import { NetworkError } from "./api.js";

const DEBOUNCE_MS = 200;
const MAX_HITS = 20;

/**
 * Fires "change" whenever its state changes. A new text aborts the request for the previous one.
 */
export class ThreadSearch extends EventTarget {
  #api;
  #connectivity;
  #timer = null;
  #request = null;

  constructor(api, connectivity) {
    super();
    this.#api = api;
    this.#connectivity = connectivity;
    /** The query, trimmed. */
    this.query = "";
    /** "idle", "searching", "done", "offline", "failed", or "unavailable" (this server cannot search). */
    this.state = "idle";
    /** The newest result as {query, hits, more}; stays while the next one is loaded. Null before the first. */
    this.result = null;
    /** Why the search failed, for people. */
    this.failure = null;
    connectivity.addEventListener("change", () => this.#reachabilityChanged());
  }

  /** Whether there is a query, so that its results replace the list. */
  get active() {
    return this.state !== "idle" && this.state !== "unavailable";
  }

  /** Searches for a text after a short delay, unless another one is set meanwhile. A blank text ends the search. */
  look(text) {
    const query = text.trim();
    if (this.state === "unavailable") return;
    if (query === "") {
      this.clear();
      return;
    }
    if (query === this.query && (this.state === "searching" || this.state === "done")) return;
    this.query = query;
    this.#giveUp();
    this.#become("searching");
    this.#timer = setTimeout(() => this.#ask(), DEBOUNCE_MS);
  }

  /** Searches at once, if the search has not begun yet or has failed. */
  hurry() {
    if (this.#timer === null && this.state !== "failed" && this.state !== "offline") return;
    this.#giveUp();
    this.#become("searching");
    this.#ask();
  }

  /** Ends the search. */
  clear() {
    this.#giveUp();
    this.query = "";
    this.result = null;
    if (this.state !== "idle" && this.state !== "unavailable") this.#become("idle");
  }

  async #ask() {
    this.#timer = null;
    const request = new AbortController();
    this.#request = request;
    const { query } = this;
    try {
      const page = await this.#api.searchThreads(query, MAX_HITS, request.signal);
      if (request !== this.#request) return;
      this.result = { query, hits: page.data ?? [], more: Boolean(page.has_more) };
      this.#become("done");
    } catch (error) {
      if (request === this.#request) this.#failed(error);
    }
  }

  #failed(error) {
    this.result = null;
    this.failure = error.message;
    if (error.code === "not_enabled") this.#become("unavailable");
    else this.#become(error instanceof NetworkError ? "offline" : "failed");
  }

  #giveUp() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#request?.abort();
    this.#request = null;
  }

  #reachabilityChanged() {
    if (this.state !== "offline") return;
    if (this.#connectivity.online) this.hurry();
    else this.#become("offline");
  }

  #become(state) {
    this.state = state;
    this.dispatchEvent(new Event("change"));
  }
}
