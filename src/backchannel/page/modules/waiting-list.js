// The messages that wait for the answer before them, each with a way to take it back.
import { userBubble } from "./bc-message.js";
import { el, setAttribute } from "./dom.js";
import { icon } from "./icons.js";

const MOST_SPOKEN = 80;

/** The list as {element, update(conversation), reset()}. Entries stay the same elements, so they keep the focus. */
export function waitingList() {
  const element = el("ol", { class: "waiting-list", "aria-label": "Waiting messages", hidden: true });
  const entries = new Map();
  const drop = (turn, entry) => {
    // The next thing that the keyboard can reach is the box.
    if (entry.element.contains(document.activeElement)) {
      entry.element.dispatchEvent(new CustomEvent("focus-lost", { bubbles: true }));
    }
    entry.element.remove();
    entries.delete(turn);
  };
  return {
    element,
    update(conversation) {
      const turns = conversation.phase === "ready" ? conversation.waiting : [];
      element.hidden = turns.length === 0;
      for (const [turn, entry] of entries) if (!turns.includes(turn)) drop(turn, entry);
      turns.forEach((turn, position) => {
        if (!entries.has(turn)) entries.set(turn, waitingMessage(turn, () => conversation.withdraw(turn)));
        const entry = entries.get(turn);
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

function waitingMessage(turn, withdraw) {
  const bubble = userBubble({ content: [{ type: "input_text", text: turn.text }] }, "Waiting message");
  const state = el("span", {});
  const label = `Withdraw: ${turn.text.slice(0, MOST_SPOKEN)}`;
  const button = el("button", { type: "button", class: "link-button", "aria-label": label, onclick: withdraw }, "Withdraw");
  bubble.append(el("p", { class: "waiting-line" }, icon("clock"), state, button));
  return {
    element: el("li", {}, bubble),
    update() {
      const text = stateOf(turn);
      if (state.textContent !== text) state.textContent = text;
      button.hidden = turn.runId === null;
      // Not `disabled`, which would take the focus away.
      setAttribute(button, "aria-disabled", turn.withdrawing ? "true" : null);
    },
  };
}

function stateOf(turn) {
  if (turn.withdrawing) return "Withdrawing…";
  return turn.runId === null ? "Sending…" : "Waiting";
}
