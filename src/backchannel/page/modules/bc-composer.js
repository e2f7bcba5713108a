// Where the reader writes: a box that grows with its text, the files of the message, and a button that sends or stops.
import "./bc-draft-files.js";
import { el, isComposing, setAttribute } from "./dom.js";
import { listenToPaste } from "./file-intake.js";
import { icon, stopIcon } from "./icons.js";
import { acceptOf } from "./upload-limits.js";

const MAX_LINES = 8;
const touch = matchMedia("(pointer: coarse)");

export class BcComposer extends HTMLElement {
  #conversation = null;
  #uploads = null;
  #files = null;
  #parts = null;
  // Of the draft that is shown.
  #revision = 0;
  #onChange = () => this.#refresh();

  connectedCallback() {
    if (this.#parts) return;
    const input = el("textarea", {
      id: "message",
      rows: "1",
      placeholder: "Write a message",
      "aria-label": "Message",
      autocomplete: "off",
      enterkeyhint: "send",
    });
    const send = roundButton("submit", "Send", "Send", icon("send"));
    const stop = roundButton("button", "Stop", "Stop (Esc)", stopIcon());
    const { attach, chooser } = this.#buildAttach();
    const files = el("bc-draft-files");
    const row = el("div", { class: "composer-row" }, attach, chooser, input, send, stop);
    const form = el("form", { class: "composer", "aria-label": "Write a message" }, files, row);
    const keys = ["Enter", "Shift", "Enter"].map((key) => el("kbd", {}, key));
    const hint = el(
      "p",
      { class: "composer-hint", "aria-hidden": "true" },
      ...[keys[0], " sends · ", keys[1], " ", keys[2], " starts a new line"],
    );
    const closed = el("p", { class: "closed-line", role: "status", hidden: true });
    this.append(form, closed, hint);
    this.#parts = { form, input, send, stop, closed, attach, chooser, files };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    form.addEventListener("click", ({ target }) => (target === form || target === row) && input.focus());
    files.addEventListener("focus-lost", () => input.focus());
    input.addEventListener("keydown", (event) => this.#keyDown(event));
    input.addEventListener("input", () => this.#edited());
    stop.addEventListener("click", () => {
      this.#conversation.stop();
      input.focus();
    });
  }

  #buildAttach() {
    const title = "Attach files";
    const attributes = { type: "button", class: "icon-button attach", "aria-label": title, title, hidden: true };
    const attach = el("button", attributes, icon("attach"));
    const chooser = el("input", { type: "file", multiple: true, hidden: true, "aria-label": title });
    attach.addEventListener("click", () => chooser.click());
    chooser.addEventListener("change", () => {
      this.addFiles([...chooser.files]);
      // Else the same file could not be chosen again.
      chooser.value = "";
    });
    return { attach, chooser };
  }

  /** Set once, before a conversation. */
  set uploads(uploads) {
    this.#uploads = uploads;
    this.#parts.files.uploads = uploads;
    uploads.connectivity.addEventListener("change", this.#onChange);
    uploads.limits.addEventListener("change", () => this.#showLimits());
    listenToPaste(this.#parts.input, () => this.canAttach, (files) => this.addFiles(files, { pasted: true }));
  }

  /** Whether files can be attached now. */
  get canAttach() {
    const conversation = this.#conversation;
    const open = conversation?.phase === "ready" && !conversation.closedReason;
    return open && !this.hidden && this.#uploads.available;
  }

  /** Adds files to the message; `options` as of `Uploads.add`. */
  addFiles(files, options = {}) {
    if (!this.canAttach) return;
    this.#uploads.add(this.#files, files, options);
    // On a phone the keyboard would open.
    if (!touch.matches) this.#parts.input.focus();
  }

  #showLimits() {
    const { attach, chooser } = this.#parts;
    const limits = this.#uploads.limits.current;
    if (limits === null && document.activeElement === attach) this.#parts.input.focus();
    attach.hidden = limits === null;
    if (limits) chooser.accept = acceptOf(limits.types);
    this.#refresh();
  }

  /** The conversation that messages go to, with its draft. */
  set conversation(conversation) {
    this.#conversation?.removeEventListener("change", this.#onChange);
    this.#conversation = conversation;
    conversation.addEventListener("change", this.#onChange);
    this.#files?.removeEventListener("change", this.#onChange);
    this.#files = conversation.draft.files;
    this.#files.addEventListener("change", this.#onChange);
    this.#parts.files.files = this.#files;
    this.#showDraft();
    this.#refresh();
  }

  focusInput() {
    this.#parts.input.focus();
  }

  /** Sends a text; the draft in the box stays. */
  sendText(text) {
    this.#submit(text, false);
  }

  #keyDown(event) {
    if (event.key !== "Enter" || event.shiftKey || isComposing(event)) return;
    event.preventDefault();
    this.#send();
  }

  #edited() {
    this.#conversation.draft.text = this.#parts.input.value;
    this.#grow();
    this.#refresh();
  }

  #send() {
    this.#submit(this.#parts.input.value, true);
  }

  #submit(text, fromInput) {
    const isBlocked = fromInput && this.#files.blockedReason !== null;
    if (isBlocked) this.#parts.files.pointOut();
    if (isBlocked || !this.#canSend(text, fromInput)) return;
    const attachments = fromInput ? this.#files.take() : [];
    if (fromInput) {
      this.#conversation.draft.text = "";
      this.#showDraft();
    }
    this.dispatchEvent(new CustomEvent("message-sent", { bubbles: true }));
    this.#conversation.send(text.trim(), attachments);
  }

  #canSend(text, withFiles) {
    const { canSend, closedReason, phase } = this.#conversation;
    const something = text.trim() !== "" || (withFiles && this.#files.all.length > 0);
    return something && canSend && !closedReason && phase === "ready" && this.#uploads.connectivity.online;
  }

  #showDraft() {
    const { text, revision } = this.#conversation.draft;
    this.#parts.input.value = text;
    this.#revision = revision;
    this.#grow();
  }

  #grow() {
    const { input } = this.#parts;
    input.style.height = "auto";
    const style = getComputedStyle(input);
    const padding = Number.parseFloat(style.paddingTop) + Number.parseFloat(style.paddingBottom);
    const maxHeight = Number.parseFloat(style.lineHeight) * MAX_LINES + padding;
    input.style.height = `${Math.min(input.scrollHeight, maxHeight)}px`;
    input.style.overflowY = input.scrollHeight > maxHeight ? "auto" : "hidden";
  }

  #refresh() {
    const conversation = this.#conversation;
    if (conversation.draft.revision !== this.#revision) this.#showDraft();
    const { form, input, send, stop, closed } = this.#parts;
    const reason = conversation.closedReason;
    const hadFocus = document.activeElement === stop || document.activeElement === send;
    form.hidden = reason !== null;
    closed.hidden = reason === null;
    if (reason !== null && closed.textContent !== reason) closed.replaceChildren(icon("lock"), el("span", {}, reason));
    const stoppable = conversation.running && conversation.allowCancel;
    stop.hidden = !stoppable;
    stop.disabled = conversation.status === "stopping";
    // A message can be sent while an answer is streamed, so both buttons are shown then.
    send.hidden = stoppable && input.value.trim() === "" && this.#files.all.length === 0;
    const blocked = this.#files.blockedReason;
    send.disabled = !this.#canSend(input.value, true);
    // Not `disabled`: with it, the reader would not learn why.
    setAttribute(send, "aria-disabled", blocked === null ? null : "true");
    send.title = blocked ?? "Send";
    // If the focused button was hidden, the focus moves to the box.
    const focused = document.activeElement;
    if (hadFocus && ((focused !== stop && focused !== send) || focused.hidden || focused.disabled)) input.focus();
  }
}

function roundButton(type, label, title, picture) {
  return el("button", { type, class: `round-button ${label.toLowerCase()}`, "aria-label": label, title }, picture);
}

customElements.define("bc-composer", BcComposer);
