// The reader's chats, grouped by age, with renaming in place and deleting after a question.
import { announce } from "./announcer.js";
import { confirmDialog } from "./confirm-dialog.js";
import { el, isComposing, setAttribute } from "./dom.js";
import { icon } from "./icons.js";
import { ThreadMenu } from "./thread-menu.js";
import { groupByAge, threadAddress, threadTitle } from "./threads.js";

const NEAR_END = 200;

export class BcThreadList extends HTMLElement {
  #session = null;
  #rows = new Map();
  #layout = "";
  #parts = null;
  #menu = new ThreadMenu({
    rename: (id) => this.#startRename(id),
    remove: (id, button) => this.#askToDelete(id, button),
  });

  connectedCallback() {
    if (this.#parts) return;
    const groups = el("div", { class: "thread-groups" });
    const status = el("p", { class: "thread-status muted", hidden: true });
    const failure = el("div", { class: "thread-failure", role: "alert" });
    this.append(groups, status, failure, this.#menu.element);
    this.#parts = { groups, status, failure };
    this.addEventListener("scroll", () => this.#loadNearEnd(), { passive: true });
  }

  set session(session) {
    this.#session = session;
    session.threads.addEventListener("change", () => this.#render());
    this.#render();
  }

  /** Whether search results are shown in place of the list. */
  set covered(covered) {
    if (this.hidden === covered) return;
    this.hidden = covered;
    // Threads loaded while the list was hidden may not fill it.
    this.#loadNearEnd();
  }

  #render() {
    const { threads } = this.#session;
    const groups = groupByAge(threads.list);
    const layout = JSON.stringify(groups.map(({ label, threads: list }) => [label, list.map((thread) => thread.id)]));
    if (layout !== this.#layout) this.#arrange(groups, layout);
    for (const thread of threads.list) this.#updateRow(thread);
    this.#showStatus(threads);
    this.#loadNearEnd();
  }

  // Moving a row drops the focus inside it, so rows are moved only when the order changed.
  #arrange(groups, layout) {
    this.#layout = layout;
    const focused = this.contains(document.activeElement) ? document.activeElement : null;
    const known = new Set();
    const sections = groups.map(({ label, threads }, index) => {
      const id = `threads-${index}`;
      const rows = threads.map((thread) => {
        known.add(thread.id);
        return this.#rowOf(thread);
      });
      return el("section", { "aria-labelledby": id }, el("h2", { class: "thread-group", id }, label), el("ul", {}, rows));
    });
    this.#parts.groups.replaceChildren(...sections);
    for (const id of [...this.#rows.keys()]) if (!known.has(id)) this.#rows.delete(id);
    if (focused?.isConnected) focused.focus();
  }

  #rowOf(thread) {
    const existing = this.#rows.get(thread.id);
    if (existing) return existing;
    const running = el("span", { class: "thread-running", role: "img", "aria-label": "answering", hidden: true });
    const address = { class: "thread-link", href: threadAddress(thread.id) };
    const link = el("a", address, el("span", { class: "thread-title" }), running);
    const options = el(
      "button",
      { type: "button", class: "icon-button small thread-options", "aria-haspopup": "menu" },
      icon("dots"),
    );
    options.addEventListener("click", () => this.#menu.open(thread.id, options));
    const row = el("li", { class: "thread-row" }, link, options);
    this.#rows.set(thread.id, row);
    return row;
  }

  #updateRow(thread) {
    const row = this.#rows.get(thread.id);
    const title = threadTitle(thread);
    const label = row.querySelector(".thread-title");
    if (label.textContent !== title) label.textContent = title;
    setAttribute(row.querySelector(".thread-link"), "title", title);
    setAttribute(row.querySelector(".thread-options"), "aria-label", `Options for ${title}`);
    const current = this.#session.conversation?.id === thread.id;
    setAttribute(row.querySelector(".thread-link"), "aria-current", current ? "page" : null);
    row.querySelector(".thread-running").hidden = !this.#session.isRunning(thread.id);
  }

  #showStatus(threads) {
    const { status, failure } = this.#parts;
    const empty = threads.loaded && threads.list.length === 0;
    status.hidden = !empty && !threads.loading;
    status.textContent = threads.loading ? "Loading…" : "Your chats will appear here.";
    if ((failure.dataset.message ?? "") === (threads.failure ?? "")) return;
    failure.dataset.message = threads.failure ?? "";
    const again = el("button", { type: "button", class: "link-button", onclick: () => threads.loadMore() }, "Try again");
    failure.replaceChildren(...(threads.failure ? [el("p", {}, threads.failure), again] : []));
  }

  #loadNearEnd() {
    const { threads } = this.#session;
    if (!threads.hasMore || threads.failure || this.clientHeight === 0) return;
    if (this.scrollHeight - this.scrollTop - this.clientHeight < NEAR_END) threads.loadMore();
  }

  #startRename(id) {
    const row = this.#rows.get(id);
    const title = threadTitle(this.#session.threads.get(id));
    const input = el("input", { type: "text", class: "rename-input", "aria-label": "Chat title", maxlength: "200" });
    input.value = title;
    row.dataset.renaming = "";
    row.append(input);
    let finished = false;
    const finish = (save) => {
      if (finished) return;
      finished = true;
      const newTitle = input.value.trim();
      const focusBack = document.activeElement === input;
      input.remove();
      delete row.dataset.renaming;
      if (focusBack) row.querySelector(".thread-link").focus();
      if (save && newTitle && newTitle !== title) this.#rename(id, newTitle);
    };
    input.addEventListener("blur", () => finish(true));
    input.addEventListener("keydown", (event) => {
      if (isComposing(event)) return;
      if (event.key === "Enter") finish(true);
      else if (event.key === "Escape") finish(false);
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    input.focus();
    // Selected backwards, a long title shows its beginning.
    input.setSelectionRange(0, title.length, "backward");
  }

  async #rename(id, title) {
    try {
      await this.#session.rename(id, title);
      announce(`Renamed to ${title}.`);
    } catch (error) {
      this.#parts.failure.replaceChildren(el("p", {}, `The chat was not renamed. ${error.message}`));
    }
  }

  async #askToDelete(id, button) {
    const title = threadTitle(this.#session.threads.get(id));
    const deleted = await confirmDialog({
      title: "Delete this chat?",
      text: `“${title}” and everything in it will be gone for good.`,
      action: "Delete",
      run: () => this.#session.remove(id),
    });
    if (deleted) {
      announce("Chat deleted.");
      this.dispatchEvent(new CustomEvent("thread-deleted", { bubbles: true }));
    } else button.focus();
  }
}

customElements.define("bc-thread-list", BcThreadList);
