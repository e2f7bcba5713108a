// How each type of thread event changes a conversation, which is `this`.
import { failureOf } from "./failed-run.js";

/** Whether an event says that its run is queued behind another one. */
export function isQueuedEvent(event) {
  return event.type === "progress_update" && event.icon === "clock";
}

const EVENTS = {
  "thread.created"({ thread }, setThread) {
    setThread(thread);
  },
  "thread.updated"({ thread }, setThread) {
    setThread(thread);
  },
  "thread.item.added"({ item }) {
    this.items.put(item, true);
    this.progress = null;
  },
  "thread.item.updated"({ item_id: id, update }) {
    this.items.update(id, update);
  },
  "thread.item.done"({ item }) {
    if (item.type === "user_message") this.pendingText = null;
    this.items.put(item, false);
    this.progress = null;
  },
  "thread.item.removed"({ item_id: id }) {
    this.items.remove(id);
  },
  "thread.item.replaced"({ item }) {
    this.items.put(item, false);
  },
  stream_options({ stream_options: options }) {
    this.allowCancel = options?.allow_cancel !== false;
  },
  progress_update({ text }) {
    this.progress = text;
  },
  notice(notice) {
    this.notices = [...this.notices, notice];
  },
  client_effect({ name, data }) {
    document.dispatchEvent(new CustomEvent("backchannel:client-effect", { detail: { name, data: data ?? {} } }));
  },
  error(error) {
    this.failure = failureOf(error);
  },
};

/** Applies an event to a conversation; `setThread(thread)` stores the thread's own data. */
export function applyEvent(conversation, event, setThread) {
  try {
    EVENTS[event.type]?.call(conversation, event, setThread);
  } catch (error) {
    // One invalid event must not end the conversation.
    console.warn("Backchannel: an event could not be shown.", event.type, error);
  }
}
