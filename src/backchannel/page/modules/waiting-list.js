// The queued messages, each with a button to withdraw it.
import { userBubble } from "./bc-message.js";
import { el, setAttribute } from "./dom.js";
import { icon } from "./icons.js";

const MAX_LABEL_CHARS = 80;

/** The list as {element, update(conversation), reset()}. Entries stay the same elements, so they keep the focus. */
export function waitingList() {
  const element = el("ol", { class: "waiting-list", "aria-label": "Waiting messages", hidden: true });
  const entries = new Map();
  const drop = (run, entry) => {
    // The focus moves on to the message box.
    if (entry.element.contains(document.activeElement)) {
      entry.element.dispatchEvent(new CustomEvent("focus-lost", { bubbles: true }));
    }
    entry.element.remove();
    entries.delete(run);
  };
  return {
    element,
    update(conversation) {
      const runs = conversation.phase === "ready" ? conversation.queued : [];
      element.hidden = runs.length === 0;
      for (const [run, entry] of entries) if (!runs.includes(run)) drop(run, entry);
      runs.forEach((run, position) => {
        if (!entries.has(run)) entries.set(run, waitingMessage(run, () => conversation.withdraw(run)));
        const entry = entries.get(run);
        entry.update();
        const there = element.children[position];
        if (there !== entry.element) element.insertBefore(entry.element, there ?? null);
      });
    },
    reset() {
      element.replaceChildren();
      entries.clear();
    },
  };
}

function waitingMessage(run, withdraw) {
  const text = run.text === "" && run.attachments.length === 0 ? run.summary : run.text;
  const item = { content: [{ type: "input_text", text }], attachments: run.attachments };
  const bubble = userBubble(item, "Waiting message");
  const state = el("span", {});
  const label = `Withdraw: ${run.summary.slice(0, MAX_LABEL_CHARS)}`;
  const button = el("button", { type: "button", class: "link-button", "aria-label": label, onclick: withdraw }, "Withdraw");
  bubble.append(el("p", { class: "waiting-line" }, icon("clock"), state, button));
  return {
    element: el("li", {}, bubble),
    update() {
      const text = stateOf(run);
      if (state.textContent !== text) state.textContent = text;
      button.hidden = run.id === null;
      // Not `disabled`, which would take the focus away.
      setAttribute(button, "aria-disabled", run.withdrawing ? "true" : null);
    },
  };
}

function stateOf(run) {
  if (run.withdrawing) return "Withdrawing…";
  return run.id === null ? "Sending…" : "Waiting";
}
