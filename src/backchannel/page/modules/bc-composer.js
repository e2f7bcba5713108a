// Where the reader writes: a box that grows with its text, and a button that sends or stops.
import { el, isComposing } from "./dom.js";
import { icon, stopIcon } from "./icons.js";

const MAX_LINES = 8;

export class BcComposer extends HTMLElement {
  #conversation = null;
  #connectivity = null;
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
    const form = el("form", { class: "composer", "aria-label": "Write a message" }, input, send, stop);
    const keys = ["Enter", "Shift", "Enter"].map((key) => el("kbd", {}, key));
    const hint = el(
      "p",
      { class: "composer-hint", "aria-hidden": "true" },
      ...[keys[0], " sends · ", keys[1], " ", keys[2], " starts a new line"],
    );
    const closed = el("p", { class: "closed-line", role: "status", hidden: true });
    this.append(form, closed, hint);
    this.#parts = { form, input, send, stop, closed };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    form.addEventListener("click", (event) => event.target === form && input.focus());
    input.addEventListener("keydown", (event) => this.#keyDown(event));
    input.addEventListener("input", () => this.#edited());
    stop.addEventListener("click", () => {
      this.#conversation.stop();
      input.focus();
    });
  }

  /** Set once, before a conversation. */
  set connectivity(connectivity) {
    this.#connectivity = connectivity;
    connectivity.addEventListener("change", this.#onChange);
  }

  /** The conversation that messages go to, with its draft. */
  set conversation(conversation) {
    this.#conversation?.removeEventListener("change", this.#onChange);
    this.#conversation = conversation;
    conversation.addEventListener("change", this.#onChange);
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
    if (!this.#canSend(text)) return;
    if (fromInput) {
      this.#conversation.draft.text = "";
      this.#showDraft();
    }
    this.dispatchEvent(new CustomEvent("message-sent", { bubbles: true }));
    this.#conversation.send(text.trim());
  }

  #canSend(text) {
    const { canSend, closedReason, phase } = this.#conversation;
    return text.trim() !== "" && canSend && !closedReason && phase === "ready" && this.#connectivity.online;
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
    send.hidden = stoppable && input.value.trim() === "";
    send.disabled = !this.#canSend(input.value);
    // If the focused button was hidden, the focus moves to the box.
    const focused = document.activeElement;
    if (hadFocus && ((focused !== stop && focused !== send) || focused.hidden || focused.disabled)) input.focus();
  }
}

function roundButton(type, label, title, picture) {
  return el("button", { type, class: `round-button ${label.toLowerCase()}`, "aria-label": label, title }, picture);
}

customElements.define("bc-composer", BcComposer);
