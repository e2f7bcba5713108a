// Full-text search over chats: a field above the list, and results in place of the list.
import { announce } from "./announcer.js";
import { el, isComposing, setAttribute } from "./dom.js";
import { icon } from "./icons.js";
import { threadAddress, threadTitle } from "./threads.js";

const LONGEST_QUERY = 2000;
const LONGEST_QUOTE = 60;

/**
 * Fires "hit-chosen" with {threadId, itemId} when a result is followed (itemId is null where only the title
 * matches), "search-left" when Escape is pressed in the empty field, and "search-gone" when the focused
 * field was removed, because the server cannot search.
 */
export class BcSearch extends HTMLElement {
  #session = null;
  #parts = null;
  #shown = null;
  #announced = "";

  connectedCallback() {
    if (this.#parts) return;
    const input = el("input", {
      type: "search",
      class: "search-input",
      placeholder: "Search chats",
      "aria-label": "Search chats",
      "aria-keyshortcuts": "Control+K Meta+K",
      title: "Search chats (Ctrl+K)",
      autocomplete: "off",
      spellcheck: "false",
      enterkeyhint: "search",
      maxlength: LONGEST_QUERY,
    });
    const empty = el(
      "button",
      { type: "button", class: "icon-button small search-clear", "aria-label": "Clear search", hidden: true },
      icon("close"),
    );
    const form = el("form", { class: "search-field", role: "search", "aria-label": "Chats" }, icon("search"), input, empty);
    const status = el("p", { class: "search-status", hidden: true });
    const again = el("button", { type: "button", class: "link-button search-again", hidden: true }, "Try again");
    const results = el("ul", { class: "hits", "aria-label": "Search results", hidden: true });
    const found = el("div", { class: "found", hidden: true }, status, again, results);
    this.append(form, found);
    this.#parts = { form, input, empty, found, status, again, results };
    this.#listen();
  }

  #listen() {
    const { form, input, empty, again } = this.#parts;
    input.addEventListener("input", () => this.#edited());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#session.search.hurry();
    });
    empty.addEventListener("click", () => this.#startOver());
    again.addEventListener("click", () => {
      input.focus();
      this.#session.search.hurry();
    });
    this.addEventListener("keydown", (event) => this.#keyDown(event));
  }

  /** Set once, after the element is in the page. */
  set session(session) {
    this.#session = session;
    session.search.addEventListener("change", () => this.#render());
    session.threads.addEventListener("change", () => this.#markOpen());
    this.#render();
  }

  /** Whether the server can search. */
  get available() {
    return this.#session.search.state !== "unavailable";
  }

  /** Focuses the field and selects its text. */
  focusInput() {
    this.#parts.input.focus();
    this.#parts.input.select();
  }

  /** Ends the search and empties the field. */
  clear() {
    this.#parts.input.value = "";
    this.#edited();
  }

  #edited() {
    const { input, empty } = this.#parts;
    empty.hidden = input.value === "";
    this.#session.search.look(input.value);
  }

  #startOver() {
    this.clear();
    this.#parts.input.focus();
  }

  #keyDown(event) {
    if (isComposing(event) || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    if (event.key === "Escape") this.#escape();
    else if (!this.#moveFocus(event.key, event.target)) return;
    // Escape would also stop an answer, the arrows would scroll.
    event.preventDefault();
  }

  #escape() {
    const { input } = this.#parts;
    if (input.value === "") this.dispatchEvent(new CustomEvent("search-left"));
    else this.#startOver();
  }

  // Before the first result comes the field; after the last one, nothing.
  #moveFocus(key, from) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[key];
    const stops = [this.#parts.input, ...this.#links];
    const index = stops.indexOf(from);
    if (!step || index < 0) return false;
    const next = stops[index + step];
    next?.focus();
    return Boolean(next);
  }

  get #links() {
    const { results } = this.#parts;
    return results.hidden ? [] : [...results.querySelectorAll("a")];
  }

  #render() {
    const { search } = this.#session;
    const { form, found, status, again, results } = this.#parts;
    if (!this.available && form.contains(document.activeElement)) this.dispatchEvent(new CustomEvent("search-gone"));
    this.toggleAttribute("data-active", search.active);
    found.hidden = search.state === "idle";
    form.hidden = !this.available;
    this.#showHits(search.result);
    results.hidden = this.#shown === null || this.#shown.hits.length === 0;
    setAttribute(results, "aria-busy", search.state === "searching" ? "true" : null);
    again.hidden = search.state !== "failed";
    this.#showStatus(search, this.#statusText(search), status);
  }

  // Results stay until the next response, and so does their text.
  #statusText({ state, result, failure }) {
    if (state === "unavailable") return "Search is not available.";
    if (state === "failed") return `The search did not work. ${failure}`;
    if (state === "offline") {
      const offline = this.#session.connectivity.state === "offline";
      const reason = offline ? "You are offline." : "The server cannot be reached.";
      return `${reason} The search goes on as soon as it can.`;
    }
    if (result) return resultText(result);
    return state === "searching" ? "Searching…" : "";
  }

  #showStatus({ state, result }, text, status) {
    status.hidden = text === "";
    status.textContent = text;
    status.dataset.state = result ? "done" : state;
    // Each response is announced, even if its text is the same; waiting is not.
    if (state === "searching" || state === "idle") this.#announced = "";
    else if (text !== this.#announced) {
      this.#announced = text;
      announce(text);
    }
  }

  #showHits(result) {
    if (result === this.#shown) return;
    this.#shown = result;
    const { results, found } = this.#parts;
    results.replaceChildren(...(result?.hits ?? []).map((hit) => this.#hit(hit)));
    found.scrollTop = 0;
    this.#markOpen();
  }

  // The first link is the chat with its best message; further messages have links of their own.
  #hit({ thread, title, excerpts }) {
    const [best, ...others] = excerpts ?? [];
    const parts = title?.length > 0 ? title : [{ text: threadTitle(thread), match: false }];
    const name = el("span", { class: "hit-title" }, marked(parts));
    return el("li", { class: "hit" }, [
      this.#link(thread.id, best, name, best && excerptText(best)),
      ...others.map((excerpt) => this.#link(thread.id, excerpt, excerptText(excerpt))),
    ]);
  }

  #link(threadId, excerpt, ...content) {
    const link = el("a", { class: "hit-link", href: threadAddress(threadId) }, content);
    link.dataset.thread = threadId;
    link.addEventListener("click", (event) => {
      // With one of these keys it opens in another tab or window.
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
      this.dispatchEvent(new CustomEvent("hit-chosen", { detail: { threadId, itemId: excerpt?.item_id ?? null } }));
    });
    return link;
  }

  #markOpen() {
    const open = this.#session.conversation?.id;
    for (const row of this.#parts.results.children) {
      const link = row.firstElementChild;
      setAttribute(link, "aria-current", link.dataset.thread === open ? "page" : null);
    }
  }
}

function resultText({ query, hits, more }) {
  if (hits.length === 0) return `Nothing found for “${shortened(query)}”`;
  const count = hits.length === 1 ? "1 chat found" : `${hits.length} chats found`;
  return more ? `${count}, and there may be more` : count;
}

function shortened(text) {
  const signs = [...text];
  return signs.length > LONGEST_QUOTE ? `${signs.slice(0, LONGEST_QUOTE).join("").trimEnd()}…` : text;
}

function excerptText({ parts }) {
  return el("span", { class: "hit-excerpt" }, marked(parts));
}

function marked(parts) {
  return parts.map(({ text, match }) => (match ? el("mark", {}, text) : document.createTextNode(text)));
}

customElements.define("bc-search", BcSearch);
