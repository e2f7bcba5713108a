// The state of the page: the thread list, the open conversation, the server's health.
import { ChatApi } from "./api.js";
import { Connectivity } from "./connectivity.js";
import { Conversation } from "./conversation.js";
import { ThreadSearch } from "./search.js";
import { ThreadDirectory } from "./threads.js";
import { Uploads } from "./uploads.js";
import { introduce } from "./visitor.js";

const ROUTE = /^#\/t\/([\w.:-]+)$/;

/**
 * Fires "open" when another conversation is shown, "health" when the server's health became known, "introduced" when
 * `keepsCookies` did.
 */
export class Session extends EventTarget {
  #conversations = new Map();
  // The conversation in which nothing was sent yet.
  #new = null;

  constructor() {
    super();
    this.connectivity = new Connectivity(() => this.refreshHealth());
    this.api = new ChatApi(this.connectivity);
    this.threads = new ThreadDirectory(this.api);
    this.search = new ThreadSearch(this.api, this.connectivity);
    this.uploads = new Uploads(this.api, this.connectivity);
    this.health = null;
    /** Whether the browser keeps the server's cookie; null while that is not known. */
    this.keepsCookies = null;
    this.conversation = null;
  }

  /** Reads the address and the server; call once. */
  begin() {
    addEventListener("hashchange", () => this.#route());
    this.connectivity.addEventListener("change", () => this.#whenReachable());
    this.#introduce();
    this.#route();
    this.threads.loadMore();
    this.refreshHealth().catch(() => {});
    this.uploads.limits.refresh();
  }

  #introduce() {
    this.api.introduced = introduce(this.api).then(
      (kept) => {
        this.keepsCookies = kept;
        this.dispatchEvent(new Event("introduced"));
      },
      () => {},
    );
  }

  async refreshHealth() {
    this.health = await this.api.health();
    this.dispatchEvent(new Event("health"));
  }

  /** Opens an empty conversation; it becomes a thread with the first message. */
  newChat() {
    if (location.hash) history.pushState(null, "", location.pathname + location.search);
    this.#show(this.#newConversation());
  }

  /** Opens a thread. */
  open(threadId) {
    if (this.conversation?.id === threadId && this.conversation.phase !== "failed") return;
    let conversation = this.#conversations.get(threadId);
    if (!conversation || !conversation.running) {
      conversation = this.#create(threadId);
      conversation.load();
    }
    this.#show(conversation);
  }

  /** Whether a run of the thread is active, as far as this page knows. */
  isRunning(threadId) {
    return this.#conversations.get(threadId)?.running ?? false;
  }

  /** Gives a thread another title, in the list and in the open conversation. */
  async rename(threadId, title) {
    const open = this.#conversations.get(threadId);
    const before = open?.thread;
    if (before) open.thread = { ...before, title };
    try {
      await this.threads.rename(threadId, title);
    } catch (error) {
      if (before) open.thread = before;
      throw error;
    }
  }

  /** Deletes a thread; when it is the open one, a new chat takes its place. */
  async remove(threadId) {
    await this.threads.remove(threadId);
    this.#conversations.get(threadId)?.close();
    this.#conversations.delete(threadId);
    if (this.conversation?.id === threadId) {
      history.replaceState(null, "", location.pathname + location.search);
      this.#show(this.#newConversation());
    }
  }

  #newConversation() {
    // One whose first message is being sent goes on in the background.
    if (this.#new === null || this.#new.id !== null || this.#new.running) this.#new = this.#create(null);
    return this.#new;
  }

  // A first message that was not sent is put back where it can be sent again.
  #firstMessageRefused(conversation) {
    if (conversation.id !== null || conversation === this.conversation) return;
    const other = this.#newConversation();
    if (other !== conversation) other.takeOver(conversation);
  }

  #create(threadId) {
    const conversation = new Conversation(this.api, this.connectivity, threadId);
    if (threadId) this.#conversations.set(threadId, conversation);
    conversation.addEventListener("thread", () => this.#threadChanged(conversation));
    conversation.addEventListener("refused", () => this.#firstMessageRefused(conversation));
    conversation.addEventListener("settled", () => this.threads.dispatchEvent(new Event("change")));
    return conversation;
  }

  #threadChanged(conversation) {
    this.#conversations.set(conversation.id, conversation);
    this.threads.put(conversation.thread);
    if (conversation === this.conversation && !location.hash) {
      history.replaceState(null, "", `#/t/${conversation.id}`);
    }
  }

  #show(conversation) {
    // An idle one is loaded again when it is opened; one with an active run stays in the background.
    const previous = this.conversation;
    if (previous && previous !== conversation && previous.id && !previous.running) {
      if (this.#conversations.get(previous.id) === previous) this.#conversations.delete(previous.id);
    }
    if (previous) previous.shown = false;
    conversation.shown = true;
    this.conversation = conversation;
    this.dispatchEvent(new Event("open"));
    this.threads.dispatchEvent(new Event("change"));
  }

  #route() {
    const match = ROUTE.exec(location.hash);
    if (match) this.open(match[1]);
    else this.newChat();
  }

  #whenReachable() {
    if (!this.connectivity.online) return;
    if (!this.threads.loaded) this.threads.loadMore();
    if (this.conversation?.phase === "failed") this.conversation.load();
    if (this.keepsCookies === null) this.#introduce();
    if (!this.health) this.refreshHealth().catch(() => {});
  }
}
