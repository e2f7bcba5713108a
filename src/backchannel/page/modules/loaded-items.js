// The items of a thread as far as they are loaded from the server.
import { readFailure } from "./failed-run.js";
import { ItemList, messageText } from "./items.js";

const PAGE = 30;

/**
 * Reads the active runs of a thread, its newest items, its own data, and why its newest answer failed, as
 * {runs, page, thread, failure}. There is no failure while a run is active.
 */
export async function readNewest(api, threadId) {
  // The runs first: of a run that is not among them, all items are loaded.
  const runs = await api.activeRuns(threadId);
  const [page, thread, newestRun] = await Promise.all([
    readItems(api, threadId),
    api.call("threads.get_by_id", { thread_id: threadId }),
    api.newestRun(threadId),
  ]);
  const failure = runs.length === 0 ? await readFailure(api, newestRun, page.data) : null;
  return { runs, page, thread, failure };
}

async function readItems(api, threadId, after = null) {
  const params = { thread_id: threadId, limit: PAGE, order: "desc" };
  const page = await api.call("items.list", after === null ? params : { ...params, after });
  return { ...page, data: page.data ?? [] };
}

export class LoadedItems extends ItemList {
  // Before which item the next page ends.
  #cursor = null;
  hasOlder = false;

  /** Begins with the newest page. */
  reset(page) {
    this.clear();
    this.#takeOlder(page);
  }

  /** Loads the page before the oldest item here. */
  async loadOlder(api, threadId) {
    this.#takeOlder(await readItems(api, threadId, this.#cursor));
  }

  /** Brings the end of the list in line with the newest page. */
  catchUp(page) {
    if (!this.replace(page.data)) this.#setCursor(page);
  }

  /** Loads what is missing before the item `id`, which may have been added in another tab; whether something was. */
  async addMissedBefore(id, api, threadId) {
    const page = await readItems(api, threadId);
    const own = page.data.findIndex((item) => item.id === id);
    const older = own < 0 ? [] : page.data.slice(own + 1);
    if (older.length === 0 || !this.get(id)) return false;
    if (older.some((item) => this.get(item.id))) return this.insert(older);
    this.replace(older, id);
    this.#setCursor(page);
    return true;
  }

  /** Whether a message, {text, attachments}, is among the user's after the item `after`; among all, if that is not here. */
  hasMessage({ text, attachments = [], after }) {
    const items = this.all().map((entry) => entry.item);
    const later = items.slice(items.findIndex((item) => item.id === after) + 1);
    const ids = attachments.map(({ id }) => id).join();
    const same = (item) => messageText(item) === text && (item.attachments ?? []).map(({ id }) => id).join() === ids;
    return later.some((item) => item.type === "user_message" && same(item));
  }

  #takeOlder(page) {
    this.prepend(page.data);
    this.#setCursor(page);
  }

  #setCursor(page) {
    this.hasOlder = Boolean(page.has_more);
    this.#cursor = page.after ?? page.data.at(-1)?.id ?? null;
  }
}
