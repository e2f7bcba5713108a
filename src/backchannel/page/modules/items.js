// The items of one thread in order, and how events change them. No DOM here.

/** One item as the page knows it; `version` grows with every change, `live` while it is being written. */
class Entry {
  constructor(item, live) {
    this.item = item;
    this.live = live;
    this.version = 0;
  }

  put(item, live) {
    this.item = item;
    this.live = live;
    this.version += 1;
  }
}

export class ItemList {
  #entries = new Map();
  #order = [];

  get size() {
    return this.#order.length;
  }

  /** The entries, oldest first. */
  all() {
    return this.#order.map((id) => this.#entries.get(id));
  }

  get(id) {
    return this.#entries.get(id) ?? null;
  }

  /** The newest entry that fits, or null. */
  findLast(fits) {
    for (let index = this.#order.length - 1; index >= 0; index -= 1) {
      const entry = this.#entries.get(this.#order[index]);
      if (fits(entry.item)) return entry;
    }
    return null;
  }

  /** The form or client tool call with which the thread ends, if it has no reply yet, or null. */
  get pendingQuestion() {
    const item = this.findLast(({ type }) => type !== "end_of_turn")?.item;
    const asks = item?.type === "structured_input" || item?.type === "client_tool_call";
    return asks && item.status === "pending" ? item : null;
  }

  /** Puts an item at its known place, or at the end. */
  put(item, live) {
    const entry = this.#entries.get(item.id);
    if (entry) entry.put(item, live);
    else {
      this.#entries.set(item.id, new Entry(item, live));
      this.#order.push(item.id);
    }
  }

  /** Puts older items, newest first as the server lists them, before all others. */
  prepend(itemsNewestFirst) {
    const fresh = itemsNewestFirst.filter((item) => !this.#entries.has(item.id)).reverse();
    for (const item of fresh) this.#entries.set(item.id, new Entry(item, false));
    this.#order.unshift(...fresh.map((item) => item.id));
  }

  /** Adds unknown items after those that they follow on the server's page, newest first; whether there were any. */
  insert(itemsNewestFirst) {
    const before = this.size;
    let place = -1;
    for (const item of [...itemsNewestFirst].reverse()) {
      const known = this.#order.indexOf(item.id);
      if (known >= 0) place = known;
      else if (place >= 0) {
        this.#entries.set(item.id, new Entry(item, false));
        this.#order.splice((place += 1), 0, item.id);
      }
    }
    return this.size > before;
  }

  /** Whether the server's newest items, newest first, have one after the item `id` that is not here. */
  lacks(itemsNewestFirst, id) {
    const end = itemsNewestFirst.findIndex((item) => item.id === id);
    return itemsNewestFirst.slice(0, end < 0 ? undefined : end).some((item) => !this.#entries.has(item.id));
  }

  /**
   * Puts items of the server, newest first, in place of those from the oldest of them on, up to the item `before` or to
   * the end. False if none of them was here: then all older ones were dropped, because some may be missing between.
   */
  replace(itemsNewestFirst, before = null) {
    const items = [...itemsNewestFirst].reverse();
    const end = before === null ? this.#order.length : this.#order.indexOf(before);
    const places = items.map((item) => this.#order.indexOf(item.id));
    const known = places.findIndex((place) => place >= 0 && place < end);
    const start = Math.max(places[known] ?? 0, 0);
    // Older ones than the oldest here are on the next page that is loaded.
    const taken = start === 0 && known > 0 ? items.slice(known) : items;
    const ids = taken.map((item) => item.id);
    for (const id of this.#order.splice(start, end - start, ...ids)) if (!ids.includes(id)) this.#entries.delete(id);
    for (const item of taken) {
      const entry = this.#entries.get(item.id);
      if (!entry) this.#entries.set(item.id, new Entry(item, false));
      else if (JSON.stringify(entry.item) !== JSON.stringify(item)) entry.put(item, false);
    }
    return known >= 0;
  }

  remove(id) {
    if (!this.#entries.delete(id)) return;
    this.#order.splice(this.#order.indexOf(id), 1);
  }

  /** Drops everything that follows an item. */
  removeAfter(id) {
    const index = this.#order.indexOf(id);
    if (index < 0) return;
    for (const later of this.#order.splice(index + 1)) this.#entries.delete(later);
  }

  clear() {
    this.#entries.clear();
    this.#order = [];
  }

  /** Whether an item is still being written. */
  get unfinished() {
    return this.#order.some((id) => this.#entries.get(id).live);
  }

  /** Marks all items as finished, after the run has ended. */
  settle() {
    for (const entry of this.#entries.values()) {
      if (!entry.live) continue;
      if (entry.item.type === "workflow") stopLoading(entry.item);
      entry.put(entry.item, false);
    }
  }

  /** Applies a thread.item.updated event; says whether the item is known. */
  update(id, update) {
    const entry = this.#entries.get(id);
    if (!entry) return false;
    applyUpdate(entry.item, update);
    entry.put(entry.item, entry.live);
    return true;
  }
}

function stopLoading(item) {
  for (const task of item.workflow.tasks ?? []) {
    if (task.status_indicator === "loading") task.status_indicator = "none";
  }
}

const UPDATES = {
  "assistant_message.content_part.added": (item, update) => {
    part(item, update.content_index);
    item.content[update.content_index] = { annotations: [], ...update.content };
  },
  "assistant_message.content_part.text_delta": (item, update) => {
    part(item, update.content_index).text += update.delta;
  },
  "assistant_message.content_part.annotation_added": (item, update) => {
    const { annotations } = part(item, update.content_index);
    annotations.splice(Math.min(update.annotation_index, annotations.length), 0, update.annotation);
  },
  "assistant_message.content_part.done": (item, update) => {
    part(item, update.content_index);
    item.content[update.content_index] = { annotations: [], ...update.content };
  },
  "workflow.task.added": (item, update) => {
    item.workflow.tasks[update.task_index] = update.task;
  },
  "workflow.task.updated": (item, update) => {
    item.workflow.tasks[update.task_index] = update.task;
  },
  "widget.root.updated": (item, update) => {
    item.widget = update.widget;
  },
  "widget.component.updated": (item, update) => {
    item.widget = withComponent(item.widget, update.component_id, () => update.component);
  },
  "widget.streaming_text.value_delta": (item, update) => {
    item.widget = withComponent(item.widget, update.component_id, (component) => ({
      ...component,
      value: (component.value ?? "") + update.delta,
    }));
  },
  "generated_image.updated": (item, update) => {
    item.image = update.image;
  },
};

function applyUpdate(item, update) {
  const apply = UPDATES[update.type];
  if (!apply) return;
  if (update.type.startsWith("assistant_message")) item.content ??= [];
  if (update.type.startsWith("workflow")) {
    item.workflow ??= { type: "custom", tasks: [] };
    item.workflow.tasks ??= [];
  }
  apply(item, update);
}

// Updates can name a part before it was added.
function part(item, index) {
  while (item.content.length <= index) item.content.push({ type: "output_text", text: "", annotations: [] });
  item.content[index].annotations ??= [];
  return item.content[index];
}

function withComponent(component, id, change) {
  if (!component || typeof component !== "object") return component;
  if (component.id === id) return change(component);
  const { children } = component;
  if (Array.isArray(children)) {
    return { ...component, children: children.map((child) => withComponent(child, id, change)) };
  }
  return children ? { ...component, children: withComponent(children, id, change) } : component;
}

/** The text of a user's or an assistant's message. */
export function messageText(item) {
  return (item.content ?? []).map((content) => content.text ?? "").join(item.type === "user_message" ? "" : "\n\n");
}
