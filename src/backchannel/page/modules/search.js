// Looking for threads by what was said in them. No DOM here.
import { NetworkError } from "./api.js";

const PATIENCE_MS = 200;
const MOST_HITS = 20;

/**
 * Fires "change" whenever something about the search did. The newest text is what counts: an older
 * request is given up, and its answer never shown.
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
    /** What is looked for, without spaces around it. */
    this.query = "";
    /** "idle", "searching", "done", "offline", "failed", or "unavailable" (this server cannot search). */
    this.state = "idle";
    /** The newest answer as {query, hits, more}; stays while the next one is awaited. Null before the first. */
    this.result = null;
    /** Why the search failed, for people. */
    this.failure = null;
    connectivity.addEventListener("change", () => this.#reachabilityChanged());
  }

  /** Whether there is a search, so that what it found stands in place of the list. */
  get active() {
    return this.state !== "idle" && this.state !== "unavailable";
  }

  /** Looks for a text, in a moment, unless another one comes until then. A blank text ends the search. */
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
    this.#timer = setTimeout(() => this.#ask(), PATIENCE_MS);
  }

  /** Looks at once for what is to be looked for, if that has not begun yet or failed. */
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
      const page = await this.#api.searchThreads(query, MOST_HITS, request.signal);
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
