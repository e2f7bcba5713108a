// What the page itself says: below the last message, as {level, title, message}, and to screen readers.
import { messageText } from "./items.js";
import { spokenText } from "./markdown.js";
import { threadTitle } from "./threads.js";

const MAX_TEXT = 200;

/** A tab with an old copy of the thread does not regenerate an answer. */
export const GONE_ON = {
  level: "info",
  title: null,
  message: "This chat has gone on in another tab or on another device, so this answer was not regenerated.",
};

/** An earlier answer than the current one has failed. */
export function earlierFailure({ message }) {
  return { level: "danger", title: null, message };
}

/** A queued message was not answered, for the given reason. */
export function notAnswered(text, reason) {
  return { level: "info", title: `Not answered: “${text.slice(0, MAX_TEXT)}”`, message: reason ?? "" };
}

/** What a screen reader is to say of a complete answer: its text, if its conversation is the open one. */
export function spokenAnswer({ shown, thread }, item) {
  return shown ? spokenText(messageText(item)) : `“${threadTitle(thread)}” was answered.`;
}
