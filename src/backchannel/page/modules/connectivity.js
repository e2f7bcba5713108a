// Whether the server can be reached: by `navigator.onLine` and the outcome of requests.

const FIRST_CHECK_MS = 1500;
const SLOWEST_CHECK_MS = 15000;

/** Fires "change" whenever `state` becomes "online", "offline" or "unreachable". */
export class Connectivity extends EventTarget {
  #state = navigator.onLine ? "online" : "offline";
  #timer = null;
  #delay = FIRST_CHECK_MS;
  #check;

  /** `check` is an async function that resolves when the server answers and rejects when not. */
  constructor(check) {
    super();
    this.#check = check;
    addEventListener("offline", () => this.#become("offline"));
    addEventListener("online", () => this.#retry());
  }

  get state() {
    return this.#state;
  }

  get online() {
    return this.#state === "online";
  }

  /** A request did not reach the server. */
  failed() {
    this.#become(navigator.onLine ? "unreachable" : "offline");
    this.#schedule();
  }

  /** A request reached the server, whatever the response. */
  succeeded() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#delay = FIRST_CHECK_MS;
    this.#become("online");
  }

  /** Resolves when the server becomes reachable, at the latest after `ms`, or when `signal` aborts. */
  nextChance(ms, signal) {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.removeEventListener("change", onChange);
        signal?.removeEventListener("abort", done);
        resolve();
      };
      const onChange = () => this.online && done();
      const timer = setTimeout(done, ms);
      this.addEventListener("change", onChange);
      signal?.addEventListener("abort", done);
    });
  }

  #become(state) {
    if (state === this.#state) return;
    this.#state = state;
    this.dispatchEvent(new Event("change"));
  }

  #schedule() {
    if (this.#timer !== null) return;
    this.#timer = setTimeout(() => this.#retry(), this.#delay);
    this.#delay = Math.min(this.#delay * 2, SLOWEST_CHECK_MS);
  }

  async #retry() {
    clearTimeout(this.#timer);
    this.#timer = null;
    if (!navigator.onLine) return;
    try {
      await this.#check();
    } catch {
      // The check went through `failed` or `succeeded` already, which plans the next one.
    }
  }
}
