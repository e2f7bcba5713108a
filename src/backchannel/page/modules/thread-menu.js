// The menu of one chat in the list. One menu serves all rows.
import { el } from "./dom.js";
import { icon } from "./icons.js";

const MARGIN = 8;

export class ThreadMenu {
  #threadId = null;
  #button = null;

  /** `actions` is {rename(threadId), remove(threadId, button)}. */
  constructor(actions) {
    const item = (name, picture, label, kind) =>
      el(
        "button",
        { type: "button", role: "menuitem", class: `menu-item ${kind}`, onclick: () => this.#choose(actions[name]) },
        icon(picture),
        label,
      );
    this.element = el(
      "div",
      { class: "menu", role: "menu", popover: "auto", "aria-label": "Chat options" },
      item("rename", "pencil", "Rename", ""),
      item("remove", "trash", "Delete", "danger"),
    );
    this.element.addEventListener("keydown", (event) => this.#keyDown(event));
    this.element.addEventListener("toggle", (event) => {
      this.#button?.setAttribute("aria-expanded", String(event.newState === "open"));
    });
  }

  open(threadId, button) {
    this.#threadId = threadId;
    this.#button = button;
    this.element.showPopover();
    this.#place(button.getBoundingClientRect());
    this.element.querySelector("button").focus();
  }

  #place(anchor) {
    const { offsetWidth: width, offsetHeight: height } = this.element;
    const left = Math.min(anchor.left, innerWidth - width - MARGIN);
    const below = anchor.bottom + 4;
    const top = below + height > innerHeight - MARGIN ? anchor.top - height - 4 : below;
    this.element.style.left = `${Math.max(MARGIN, left)}px`;
    this.element.style.top = `${Math.max(MARGIN, top)}px`;
  }

  #choose(action) {
    this.element.hidePopover();
    action(this.#threadId, this.#button);
  }

  #keyDown(event) {
    if (event.key === "Tab") {
      this.element.hidePopover();
      this.#button.focus();
      event.preventDefault();
      return;
    }
    const items = [...this.element.querySelectorAll("button")];
    const index = items.indexOf(document.activeElement);
    const next = { ArrowDown: index + 1, ArrowUp: index - 1 + items.length, Home: 0, End: items.length - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    items[next % items.length].focus();
  }
}
