// One message: the reader's own in a bubble, an answer as text with its actions below.
import { el, externalLink, setAttribute } from "./dom.js";
import { icon } from "./icons.js";
import { messageText } from "./items.js";
import { MarkdownView, copyWithFeedback } from "./markdown.js";
import { messageFiles } from "./message-files.js";
import { ratingOf, rememberRating } from "./ratings.js";

/** A message of the reader's. */
export class BcUserMessage extends HTMLElement {
  #shown = null;

  update({ item }) {
    // Selected text stays selected only in nodes that stay.
    const state = JSON.stringify(item);
    if (state === this.#shown) return;
    this.#shown = state;
    this.replaceChildren(userBubble(item));
  }
}

/** The bubble of a message that may not be in the thread yet. */
export function userBubble(item, label = "You") {
  const content = (item.content ?? []).map((part) =>
    part.type === "input_tag" ? el("span", { class: "tag" }, part.text) : document.createTextNode(part.text ?? ""),
  );
  const files = item.attachments ?? [];
  const onlyFiles = files.length > 0 && messageText(item).trim() === "";
  return el(
    "article",
    { class: "user-message", "aria-label": label, title: exactTime(item.created_at) },
    item.quoted_text ? el("blockquote", { class: "quoted" }, item.quoted_text) : null,
    files.length > 0 ? messageFiles(files) : null,
    onlyFiles ? null : el("div", { class: "bubble" }, content),
  );
}

function exactTime(timestamp) {
  const time = new Date(timestamp ?? Number.NaN);
  return Number.isNaN(time.getTime()) ? null : time.toLocaleString();
}

/** An answer. */
export class BcAssistantMessage extends HTMLElement {
  #parts = [];
  #body = null;
  #end = null;
  #footer = null;

  /**
   * `view` is {conversation, last, repeatable, cutOff}: whether this is the last answer, can be retried, and is only the
   * beginning of an answer.
   */
  update(entry, view) {
    this.#build();
    const { item, live } = entry;
    const contents = item.content ?? [];
    contents.forEach((content, index) => {
      const part = (this.#parts[index] ??= this.#newPart());
      part.view.update(content.text ?? "", live && index === contents.length - 1);
    });
    for (const { element } of this.#parts.splice(contents.length)) element.remove();
    setAttribute(this.#article, "aria-busy", live ? "true" : null);
    this.hidden = !live && messageText(item).trim() === "" && this.#sources(item).length === 0;
    this.#end.hidden = !view.cutOff;
    this.#showFooter(entry, view);
  }

  get #article() {
    return this.firstElementChild;
  }

  #build() {
    if (this.#body) return;
    this.#body = el("div", { class: "answer" });
    this.#end = el("p", { class: "cut-off", hidden: true }, icon("cut"), "Cut off");
    this.#footer = el("div", { class: "answer-footer" });
    const parts = [this.#body, this.#end, this.#footer];
    this.append(el("article", { class: "assistant-message", "aria-label": "Answer" }, ...parts));
  }

  #newPart() {
    const element = el("div");
    this.#body.append(element);
    return { element, view: new MarkdownView(element) };
  }

  #sources(item) {
    const seen = new Map();
    for (const content of item.content ?? []) {
      for (const { source } of content.annotations ?? []) {
        if (source) seen.set(source.url ?? source.filename ?? source.id ?? source.title, source);
      }
    }
    return [...seen.values()];
  }

  #showFooter(entry, view) {
    const state = [entry.live, view.last, view.repeatable, entry.live ? "" : entry.version].join();
    if (this.#footer.dataset.state === state) return;
    this.#footer.dataset.state = state;
    if (entry.live) {
      this.#footer.replaceChildren();
      return;
    }
    const sources = this.#sources(entry.item).map(sourceItem);
    const list = sources.length > 0 ? el("ul", { class: "sources", "aria-label": "Sources" }, sources) : "";
    const focused = this.#footer.contains(document.activeElement) && document.activeElement.ariaLabel;
    this.#footer.replaceChildren(list, actionBar(entry.item, view));
    // Rebuilding the bar must not lose the focus in it.
    if (focused) this.#footer.querySelector(`[aria-label="${focused}"]`)?.focus();
  }
}

function sourceItem(source) {
  const label = source.title || source.filename || source.url || "Source";
  return el("li", {}, externalLink(source.url ?? "", {}, label) ?? el("span", {}, label));
}

function actionBar(item, { conversation, last, repeatable }) {
  const bar = el("div", { class: "actions", role: "group", "aria-label": "Answer actions", "data-last": last });
  const copy = actionButton("copy", "Copy answer");
  copy.addEventListener("click", () => copyWithFeedback(copy, messageText(item), "Answer copied."));
  bar.append(copy, ...ratingButtons(item, conversation));
  if (last && repeatable) {
    const again = actionButton("refresh", "Regenerate answer");
    again.addEventListener("click", () => conversation.retry());
    bar.append(again);
  }
  return bar;
}

function actionButton(picture, label) {
  return el("button", { type: "button", class: "icon-button small", "aria-label": label, title: label }, icon(picture));
}

function ratingButtons(item, conversation) {
  const buttons = { positive: actionButton("up", "Good answer"), negative: actionButton("down", "Poor answer") };
  const show = (kind) => {
    for (const [name, button] of Object.entries(buttons)) button.setAttribute("aria-pressed", String(name === kind));
  };
  for (const [kind, button] of Object.entries(buttons)) {
    button.addEventListener("click", async () => {
      const before = ratingOf(item.id);
      if (before === kind) return;
      rememberRating(item.id, kind);
      show(kind);
      try {
        await conversation.rate(item.id, kind);
      } catch {
        rememberRating(item.id, before);
        show(before);
      }
    });
  }
  show(ratingOf(item.id));
  return Object.values(buttons);
}

customElements.define("bc-user-message", BcUserMessage);
customElements.define("bc-assistant-message", BcAssistantMessage);
