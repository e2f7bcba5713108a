// Announcements for screen readers: finished answers and outcomes, never single tokens.
import { el } from "./dom.js";

let region = null;

/** The polite live region; the app places it once. */
export function announcerRegion() {
  region ??= el("div", { class: "visually-hidden", role: "status", "aria-live": "polite", "aria-atomic": "true" });
  return region;
}

/** Announces the text politely. */
export function announce(text) {
  const target = announcerRegion();
  target.textContent = "";
  // A live region stays silent when the same text is set twice in one task.
  requestAnimationFrame(() => {
    target.textContent = text;
  });
}
