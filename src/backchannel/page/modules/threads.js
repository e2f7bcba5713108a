// The list of the reader's threads, newest first.

const PAGE = 30;

/** Fires "change" whenever the list does. */
export class ThreadDirectory extends EventTarget {
  #api;
  #after = null;

  constructor(api) {
    super();
    this.#api = api;
    this.list = [];
    this.hasMore = false;
    this.loaded = false;
    this.loading = false;
    this.failure = null;
  }

  /** Loads the first page, or the next one. */
  async loadMore() {
    if (this.loading || (this.loaded && !this.hasMore)) return;
    this.loading = true;
    this.failure = null;
    this.#changed();
    try {
      const params = { limit: PAGE, order: "desc" };
      if (this.#after) params.after = this.#after;
      const page = await this.#api.call("threads.list", params);
      const known = new Set(this.list.map((thread) => thread.id));
      this.list = [...this.list, ...page.data.filter((thread) => !known.has(thread.id))];
      this.hasMore = Boolean(page.has_more);
      this.#after = page.after ?? page.data.at(-1)?.id ?? null;
      this.loaded = true;
    } catch (error) {
      this.failure = error.message;
    }
    this.loading = false;
    this.#changed();
  }

  get(id) {
    return this.list.find((thread) => thread.id === id) ?? null;
  }

  /** Puts a thread's newest data in its place, or a new thread at the top. */
  put(thread) {
    const index = this.list.findIndex((other) => other.id === thread.id);
    if (index < 0) this.list = [thread, ...this.list];
    else this.list = this.list.with(index, { ...this.list[index], ...thread });
    this.#changed();
  }

  /** Gives a thread another title; the old one comes back when the server refuses. */
  async rename(id, title) {
    const before = this.get(id)?.title ?? null;
    this.put({ id, title });
    try {
      await this.#api.call("threads.update", { thread_id: id, title });
    } catch (error) {
      this.put({ id, title: before });
      throw error;
    }
  }

  /** Deletes a thread with everything in it. */
  async remove(id) {
    await this.#api.call("threads.delete", { thread_id: id });
    this.list = this.list.filter((thread) => thread.id !== id);
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

/** A thread's title for people. */
export function threadTitle(thread) {
  return thread?.title?.trim() || "New chat";
}

/** Why no message can be sent to a thread, or null. */
export function closedReason(thread) {
  const status = thread?.status;
  if (!status || status.type === "active") return null;
  return status.reason || (status.type === "locked" ? "This chat is locked." : "This chat is closed.");
}

/** Where a thread is, as a link of this page. */
export function threadAddress(id) {
  return `#/t/${encodeURIComponent(id)}`;
}

/** Groups threads by age: [{label, threads}], in the list's own order. */
export function groupByAge(threads, now = new Date()) {
  const today = new Date(now.getFullYear(), now.getMonth(), now.getDate()).getTime();
  const groups = [];
  for (const thread of threads) {
    const label = ageLabel(new Date(thread.created_at).getTime(), today);
    if (groups.at(-1)?.label === label) groups.at(-1).threads.push(thread);
    else groups.push({ label, threads: [thread] });
  }
  return groups;
}

function ageLabel(created, today) {
  const day = 24 * 3600 * 1000;
  if (Number.isNaN(created) || created >= today) return "Today";
  if (created >= today - day) return "Yesterday";
  if (created >= today - 7 * day) return "Last 7 days";
  if (created >= today - 30 * day) return "Last 30 days";
  return "Older";
}
