// The files of the message that is being written, above its text, and what is wrong with them.
import { el, setAttribute } from "./dom.js";
import { kindLabel, sizeText } from "./file-text.js";
import { icon } from "./icons.js";
import { fileIcon, nameElement } from "./message-files.js";

const MAX_REFUSALS = 3;

/** Fires "focus-lost" when the last file, with the focus in it, was removed. */
export class BcDraftFiles extends HTMLElement {
  #files = null;
  #uploads = null;
  #parts = null;
  #chips = new Map();
  #shownRefusals = null;
  #onChange = () => this.#refresh();

  connectedCallback() {
    if (this.#parts) return;
    const refusals = el("div", { class: "file-refusals", role: "alert" });
    const list = el("ul", { class: "file-chips", "aria-label": "Files to send", hidden: true });
    const hint = el("p", { class: "file-hint", role: "status" });
    this.append(refusals, list, hint);
    this.#parts = { refusals, list, hint };
  }

  /** Set once, before the files. */
  set uploads(uploads) {
    this.#uploads = uploads;
    uploads.connectivity.addEventListener("change", this.#onChange);
  }

  /** The files of a draft. */
  set files(files) {
    if (files === this.#files) return;
    this.#files?.removeEventListener("change", this.#onChange);
    this.#files = files;
    files.addEventListener("change", this.#onChange);
    this.#chips.clear();
    this.#parts.list.replaceChildren();
    this.#refresh();
  }

  /** Shows the reader why the message is not sent. */
  pointOut() {
    const { hint } = this.#parts;
    const text = hint.textContent;
    // A screen reader reads it again only if it has changed.
    hint.textContent = "";
    requestAnimationFrame(() => {
      if (hint.textContent === "") hint.textContent = text;
      hint.classList.remove("pointed-out");
      requestAnimationFrame(() => hint.classList.add("pointed-out"));
    });
    this.#showFirstFailed();
  }

  // On a phone the files are in one row, of which only a part is seen.
  #showFirstFailed() {
    const failed = this.#files.failed[0];
    const chip = failed && this.#chips.get(failed);
    if (chip) this.#parts.list.scrollTo({ left: chip.element.offsetLeft, top: chip.element.offsetTop });
  }

  #refresh() {
    const { list, hint } = this.#parts;
    const files = this.#files.all;
    for (const [file, chip] of this.#chips) if (!files.includes(file)) this.#drop(file, chip);
    files.forEach((file, position) => {
      if (!this.#chips.has(file)) this.#chips.set(file, new Chip(file, this.#uploads));
      const chip = this.#chips.get(file);
      chip.update(this.#uploads.connectivity.online);
      const there = list.children[position];
      if (there !== chip.element) list.insertBefore(chip.element, there ?? null);
    });
    list.hidden = files.length === 0;
    const reason = this.#files.blockedReason ?? "";
    if (hint.textContent !== reason) {
      hint.textContent = reason;
      this.#showFirstFailed();
    }
    this.#showRefusals();
  }

  // The focus goes to the next file, or to the one before it.
  #drop(file, chip) {
    const focused = chip.element.contains(document.activeElement);
    const other = chip.element.nextElementSibling ?? chip.element.previousElementSibling;
    chip.element.remove();
    this.#chips.delete(file);
    if (!focused) return;
    if (other) other.querySelector(".chip-remove").focus();
    else this.dispatchEvent(new CustomEvent("focus-lost"));
  }

  #showRefusals() {
    const { refusals } = this.#files;
    if (refusals === this.#shownRefusals) return;
    this.#shownRefusals = refusals;
    const box = this.#parts.refusals;
    if (refusals.length === 0) {
      box.replaceChildren();
      return;
    }
    const shown = refusals.slice(0, MAX_REFUSALS).map((sentence) => el("p", {}, sentence));
    const rest = refusals.length - shown.length;
    if (rest > 0) shown.push(el("p", {}, `${rest} more ${rest === 1 ? "file was" : "files were"} not attached.`));
    const dismiss = el(
      "button",
      { type: "button", class: "icon-button small", "aria-label": "Dismiss" },
      icon("close"),
    );
    dismiss.addEventListener("click", () => {
      this.#files.refusals = [];
      this.dispatchEvent(new CustomEvent("focus-lost"));
    });
    box.replaceChildren(el("div", { class: "file-refusal" }, icon("alert"), el("div", {}, shown), dismiss));
  }
}

/** One file. */
class Chip {
  #file;
  #parts;
  #thumbnail = null;
  #name = null;

  constructor(file, uploads) {
    this.#file = file;
    const tile = el("span", { class: "file-tile" });
    const name = el("span", { class: "file-line" });
    const meta = el("span", { class: "file-meta" });
    const bar = el("progress", { class: "file-progress", max: "1" });
    const retry = el("button", { type: "button", class: "icon-button small chip-retry" }, icon("refresh"));
    const remove = el("button", { type: "button", class: "icon-button small chip-remove" }, icon("close"));
    retry.addEventListener("click", () => {
      // The button disappears.
      remove.focus();
      uploads.retry(file);
    });
    remove.addEventListener("click", () => uploads.remove(file));
    const text = el("span", { class: "file-text" }, name, meta);
    this.element = el("li", { class: "file-chip" }, tile, text, retry, remove, bar);
    this.#parts = { tile, name, meta, bar, retry, remove };
  }

  update(online) {
    const { state, name, sent, size, error, canRetry } = this.#file;
    const { meta, bar, retry, remove } = this.#parts;
    this.element.dataset.state = state;
    this.#showName();
    this.#showThumbnail();
    const text = error ?? this.#status(online);
    if (meta.textContent !== text) meta.textContent = text;
    setAttribute(meta, "title", error);
    bar.hidden = !this.#file.pending;
    setAttribute(bar, "aria-label", `Uploading ${name}`);
    // Without a value it moves: how long a check takes is not known.
    setAttribute(bar, "value", state === "checking" ? null : size ? sent / size : 0);
    retry.hidden = state !== "failed" || !canRetry;
    label(retry, "Try again", name);
    label(remove, this.#file.pending ? "Cancel upload of" : "Remove", name);
  }

  #showName() {
    if (this.#name === this.#file.name) return;
    this.#name = this.#file.name;
    this.#parts.name.replaceChildren(nameElement(this.#name));
  }

  #status(online) {
    const { state, name, sent, size, mimeType } = this.#file;
    const whole = size === null ? "" : sizeText(size);
    if (state === "waiting") return online ? `Waiting · ${whole}` : `Waits until you are back online · ${whole}`;
    if (state === "sending") return `${Math.floor((100 * sent) / size)} % of ${whole}`;
    if (state === "checking") return `Checking… · ${whole}`;
    return [kindLabel(name, mimeType), whole].filter(Boolean).join(" · ");
  }

  #showThumbnail() {
    const { thumbnail, mimeType } = this.#file;
    const { tile } = this.#parts;
    if (this.#thumbnail === thumbnail && tile.firstChild) return;
    this.#thumbnail = thumbnail;
    const fallback = () => tile.replaceChildren(fileIcon(mimeType));
    if (!thumbnail) {
      fallback();
      return;
    }
    const image = el("img", { src: thumbnail, alt: "", decoding: "async", draggable: "false" });
    image.addEventListener("error", fallback);
    tile.replaceChildren(image);
  }
}

function label(button, action, name) {
  setAttribute(button, "aria-label", `${action} ${name}`);
  setAttribute(button, "title", action === "Cancel upload of" ? "Cancel upload" : action);
}

customElements.define("bc-draft-files", BcDraftFiles);
