// Stands in for OpenAI's closed element: does on the wire what is known of it, and shows what it got as text.
// Known: it POSTs operations with `api.fetch`, reads streams as fetch-event-source does, sends again what was neither
// taken nor refused, stops by aborting the request, refuses `fetchUpdates` while it is busy.

const MOST_ATTEMPTS = 5;
const RETRY_MS = 200;

class StandIn extends HTMLElement {
  #options = null;
  #request = null;
  #items = new Map();
  threadId = null;
  /** Whether it breaks its requests off while nobody sees it, as fetch-event-source does by default. */
  pausesWhenHidden = false;
  /** The events of streams as they came, with their ids; how often it was updated; what went wrong. */
  events = [];
  updates = 0;
  refusals = 0;
  errors = [];

  setOptions(options) {
    this.#options = options;
    this.threadId = options.initialThread ?? null;
    this.#show("idle");
    addEventListener("pagehide", () => this.#request?.abort());
    document.addEventListener("visibilitychange", () => {
      if (this.pausesWhenHidden && document.hidden) this.#request?.abort(PAUSED);
    });
    if (this.threadId) this.#load();
  }

  async fetchUpdates() {
    if (this.dataset.state !== "idle") {
      this.refusals += 1;
      throw new Error("ChatKit is busy.");
    }
    this.updates += 1;
    await this.#load();
  }

  sendUserMessage({ text }) {
    const input = { content: [{ type: "input_text", text }], attachments: [], quoted_text: null, inference_options: {} };
    return this.threadId
      ? this.#stream("threads.add_user_message", { thread_id: this.threadId, input })
      : this.#stream("threads.create", { input });
  }

  /** What the stop button does. */
  stop() {
    this.#request.abort();
  }

  async #load() {
    this.#show("loading");
    const response = await this.#post("threads.get_by_id", { thread_id: this.threadId }, {});
    const thread = await response.json();
    this.#items = new Map(thread.items.data.map((item) => [item.id, item]));
    this.#show("idle");
  }

  #post(type, params, { signal, headers }) {
    const { url, fetch: send } = this.#options.api;
    return send(url, {
      method: "POST",
      headers: { "Content-Type": "application/json", "OpenAI-Domain-Key": "local", ...headers },
      body: JSON.stringify({ type, params, metadata: {} }),
      signal,
    });
  }

  async #stream(type, params) {
    this.#show("streaming");
    const position = { lastEventId: "" };
    for (let attempt = 1; attempt <= MOST_ATTEMPTS; attempt += 1) {
      this.#request = new AbortController();
      const { signal } = this.#request;
      try {
        await this.#attempt(type, params, signal, position);
        break;
      } catch (error) {
        if (signal.aborted && signal.reason !== PAUSED) break;
        this.errors.push(error.name);
        if (error instanceof Refused) break;
        if (signal.reason === PAUSED) await visible();
        else await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
    this.#request = null;
    this.#show("idle");
  }

  async #attempt(type, params, signal, position) {
    const headers = { Accept: "text/event-stream" };
    if (position.lastEventId) headers["Last-Event-ID"] = position.lastEventId;
    const response = await this.#post(type, params, { signal, headers });
    if (response.status >= 400 && response.status < 500) throw new Refused();
    if (!response.headers.get("Content-Type")?.startsWith("text/event-stream")) throw new Error("no event stream");
    for await (const message of messages(response.body)) {
      if (message.id) position.lastEventId = message.id;
      // An empty message, which is what a comment and a blank line make, breaks the element.
      const event = JSON.parse(message.data);
      this.events.push([message.id, event.type]);
      this.#apply(event);
    }
  }

  #apply(event) {
    if (event.type === "thread.created") {
      this.threadId = event.thread.id;
      this.dispatchEvent(new CustomEvent("chatkit.thread.change", { detail: { threadId: this.threadId } }));
    }
    if (/item\.(added|done|replaced)$/.test(event.type)) this.#items.set(event.item.id, event.item);
    if (event.type === "thread.item.removed") this.#items.delete(event.item_id);
    if (event.type === "thread.item.updated") update(this.#items.get(event.item_id), event.update);
    if (event.type === "error") this.errors.push(event.message);
    if (event.type === "stream_options") this.dataset.canStop = event.stream_options.allow_cancel;
    this.#show(this.dataset.state);
  }

  #show(state) {
    this.dataset.state = state;
    const lines = [...this.#items.values()].filter(({ content }) => content).map((item) => {
      const line = document.createElement("article");
      line.ariaLabel = item.type === "user_message" ? "You" : "Answer";
      line.textContent = item.content.map(({ text }) => text).join("");
      return line;
    });
    this.replaceChildren(...lines);
  }
}

const PAUSED = new DOMException("Nobody is looking.", "AbortError");

class Refused extends Error {
  name = "Refused";
}

function visible() {
  return new Promise((resolve) => {
    document.addEventListener("visibilitychange", () => !document.hidden && resolve());
  });
}

function update(item, change) {
  if (change.type === "assistant_message.content_part.added") item.content[change.content_index] = change.content;
  if (change.type === "assistant_message.content_part.done") item.content[change.content_index] = change.content;
  if (change.type === "assistant_message.content_part.text_delta") {
    item.content[change.content_index].text += change.delta;
  }
}

// Like fetch-event-source: a blank line dispatches whatever came before it, even nothing.
async function* messages(body) {
  const decoder = new TextDecoder();
  let rest = "";
  let message = { id: "", data: "" };
  for await (const bytes of body) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        yield message;
        message = { id: "", data: "" };
      } else if (line.startsWith("id: ")) message.id = line.slice(4);
      else if (line.startsWith("data: ")) message.data += line.slice(6);
    }
  }
}

customElements.define("openai-chatkit", StandIn);
