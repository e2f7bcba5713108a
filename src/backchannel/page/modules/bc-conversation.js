// The open conversation: its items in order, the state of the current run, and the scroll position.
import "./bc-generated-image.js";
import "./bc-message.js";
import "./bc-quiet-item.js";
import "./bc-structured-input.js";
import "./bc-widget.js";
import "./bc-workflow.js";
import { conversationTail } from "./conversation-tail.js";
import { el, prefersLessMotion } from "./dom.js";
import { brandMark, icon } from "./icons.js";
import { ScrollKeeper } from "./scroll-keeper.js";

const TAGS = {
  user_message: "bc-user-message",
  assistant_message: "bc-assistant-message",
  workflow: "bc-workflow",
  task: "bc-workflow",
  structured_input: "bc-structured-input",
  widget: "bc-widget",
  generated_image: "bc-generated-image",
};
const FOUND_MS = 2400;
const INVISIBLE = new Set(["end_of_turn", "hidden_context_item", "sdk_hidden_context"]);

export class BcConversation extends HTMLElement {
  #conversation = null;
  #elements = new Map();
  #shownVersions = new Map();
  #frame = null;
  #parts = null;
  #scroll = null;
  #revealItemId = null;
  #found = null;
  #onChange = () => this.#schedule();

  connectedCallback() {
    if (this.#parts) return;
    const older = el("p", { class: "older-line", hidden: true }, "Loading earlier messages…");
    const list = el("div", { class: "items" });
    const column = el("div", { class: "column" }, older, list);
    const scroller = el(
      "div",
      { class: "scroller", role: "log", "aria-label": "Messages", "aria-live": "off", tabindex: "0" },
      column,
    );
    const jump = el(
      "button",
      { type: "button", class: "jump-button", hidden: true },
      icon("arrow-down"),
      el("span", {}, "Jump to latest"),
    );
    const tail = conversationTail();
    column.append(tail.element);
    this.append(scroller, jump);
    this.#parts = { older, list, scroller, tail };
    this.#scroll = new ScrollKeeper(scroller, column, jump, () => this.#conversation?.loadOlder());
    jump.addEventListener("click", () => {
      this.#scroll.follow();
      this.#scroll.toBottom(!prefersLessMotion());
    });
  }

  /** The conversation to show. */
  set conversation(conversation) {
    this.#conversation?.removeEventListener("change", this.#onChange);
    this.#conversation = conversation;
    conversation.addEventListener("change", this.#onChange);
    this.#elements.clear();
    this.#shownVersions.clear();
    this.#parts.list.replaceChildren();
    this.#parts.tail.reset();
    this.#revealItemId = null;
    this.#scroll.follow();
    this.#render();
  }

  /** Scrolls to an item and highlights it once the conversation is loaded; not if the item is not loaded. */
  reveal(itemId) {
    this.#revealItemId = itemId;
    this.#render();
  }

  /** Goes to the newest message and follows what comes. */
  scrollToLatest() {
    this.#scroll.follow();
    this.#scroll.toBottom(false);
  }

  // Events come much faster than frames; a hidden page gets no frames, so a timer stands in for them.
  #schedule() {
    if (this.#frame !== null) return;
    const run = () => {
      this.#frame = null;
      this.#render();
    };
    this.#frame = document.hidden ? setTimeout(run, 100) : requestAnimationFrame(run);
  }

  #render() {
    const conversation = this.#conversation;
    const { older, list, tail } = this.#parts;
    this.#scroll.keepWhile(list, () => {
      older.hidden = !conversation.loadingOlder;
      this.dataset.phase = conversation.phase;
      if (isBlank(conversation)) this.#showBlank(conversation);
      else this.#showItems(conversation, list);
      tail.update(conversation);
    });
    if (conversation.phase !== "ready") return;
    if (this.#revealItemId !== null) this.#showRevealed();
    this.#scroll.loadIfShort(conversation.items.hasOlder);
  }

  #showRevealed() {
    const element = this.#elements.get(this.#revealItemId);
    this.#revealItemId = null;
    if (!element) return;
    this.#scroll.show(element);
    if (this.#found) this.#unmark();
    element.dataset.found = "";
    this.#found = { element, timer: setTimeout(() => this.#unmark(), FOUND_MS) };
  }

  #unmark() {
    clearTimeout(this.#found.timer);
    delete this.#found.element.dataset.found;
    this.#found = null;
  }

  #showItems(conversation, list) {
    list.querySelector(":scope > .blank")?.remove();
    const entries = conversation.items.all().filter((entry) => !INVISIBLE.has(entry.item.type));
    // Only an answer without a user message after it can be retried.
    const lastWord = conversation.items.findLast(({ type }) => type === "assistant_message" || type === "user_message");
    const { failure, running, closedReason } = conversation;
    // A failed answer has buttons of its own, below.
    const repeatable = !running && !closedReason && (!failure || (failure.refusal && !failure.canRetry));
    const keep = new Set();
    let position = 0;
    for (const entry of entries) {
      const element = this.#elementOf(entry.item);
      keep.add(entry.item.id);
      if (list.children[position] !== element) list.insertBefore(element, list.children[position] ?? null);
      position += 1;
      this.#updateElement(element, entry, {
        conversation,
        running,
        last: entry === lastWord,
        repeatable,
        cutOff: Boolean(failure?.cutOff) && !running && entry === entries.at(-1),
      });
    }
    for (const [id, element] of this.#elements) {
      if (keep.has(id)) continue;
      element.remove();
      this.#elements.delete(id);
      this.#shownVersions.delete(id);
    }
  }

  #elementOf(item) {
    let element = this.#elements.get(item.id);
    const tag = TAGS[item.type] ?? "bc-quiet-item";
    if (element && element.localName !== tag) {
      element.remove();
      element = null;
    }
    if (!element) {
      element = el(tag, { class: "item", "data-type": item.type });
      this.#elements.set(item.id, element);
      this.#shownVersions.delete(item.id);
    }
    return element;
  }

  #updateElement(element, entry, view) {
    const state = [entry.version, entry.live, view.running, view.last, view.repeatable, view.cutOff].join();
    if (this.#shownVersions.get(entry.item.id) === state) return;
    this.#shownVersions.set(entry.item.id, state);
    try {
      element.update(entry, view);
    } catch (error) {
      console.warn("Backchannel: an item could not be shown.", entry.item.type, error);
      element.replaceChildren(el("p", { class: "quiet-line" }, "This part of the answer could not be shown."));
    }
  }

  #showBlank(conversation) {
    const { list } = this.#parts;
    const kind = conversation.phase === "ready" ? "greeting" : conversation.phase;
    if (list.firstElementChild?.dataset.blank === kind) return;
    this.#elements.clear();
    this.#shownVersions.clear();
    const blank = BLANKS[kind](conversation);
    blank.classList.add("blank");
    blank.dataset.blank = kind;
    list.replaceChildren(blank);
  }
}

/** Whether the conversation has nothing to show yet. */
export function isBlank(conversation) {
  if (conversation.phase !== "ready") return conversation.items.size === 0;
  return !conversation.id && conversation.items.size === 0 && conversation.pendingText === null;
}

const BLANKS = {
  greeting: () =>
    el("div", { class: "greeting" }, brandMark(), el("h2", {}, "How can I help?"), el("p", {}, "Ask in your own words.")),
  loading: () =>
    el(
      "div",
      { class: "skeleton", role: "status" },
      el("span", { class: "visually-hidden" }, "Loading the conversation…"),
      ...["bone own", "bone wide", "bone", "bone short"].map((name) => el("span", { class: name, "aria-hidden": "true" })),
    ),
  missing: () =>
    el(
      "div",
      { class: "greeting" },
      el("h2", {}, "This chat is not here"),
      el("p", {}, "It was deleted, or it belongs to somebody else. Choose another one, or start a new chat."),
      el("a", { class: "button", href: "#" }, "Start a new chat"),
    ),
  failed: (conversation) =>
    el(
      "div",
      { class: "greeting" },
      el("h2", {}, "The chat could not be loaded"),
      el("p", {}, conversation.failure?.message ?? ""),
      el("button", { type: "button", class: "button", onclick: () => conversation.load() }, "Try again"),
    ),
};

customElements.define("bc-conversation", BcConversation);
