// One run of a conversation. It has its own connection; its events are buffered until the conversation shows them.
import { isQueuedEvent } from "./conversation-events.js";
import { RunStream } from "./run-stream.js";

export class QueuedRun {
  #api;
  #connectivity;
  #stream = null;
  #listener = null;
  // Calls for the listener, in order.
  #buffer = [];
  #onEndedInQueue;
  #onBegan;

  /**
   * `text` is the message that is not in the thread yet, or null, and `attachments` are its files, as far as they are
   * known: not those of a run which was not started here. `id` is that of such a run;
   * `onEndedInQueue(run)` is called if it ends before it has a listener, and `onBegan(run)` with each event that shows
   * that it is not queued any more.
   */
  constructor(api, connectivity, options = {}) {
    const { text = null, attachments = [], id = null, onEndedInQueue = () => {}, onBegan = () => {} } = options;
    this.#api = api;
    this.#connectivity = connectivity;
    this.#onEndedInQueue = onEndedInQueue;
    this.#onBegan = onBegan;
    this.text = text;
    this.attachments = attachments;
    /** Null until the server has accepted it. */
    this.id = id;
    this.startedElsewhere = id !== null;
    /** Whether the message is in the thread, or there is none. */
    this.committed = text === null;
    this.withdrawing = false;
    /** Whether it was not the first in the queue when it was started here. */
    this.waited = false;
    /** The error message if the message will never be in the thread, or null. */
    this.rejection = null;
  }

  /** The message in short, for sentences: its text, or the names of its files. */
  get summary() {
    return this.text || this.attachments.map(({ name }) => name).join(", ") || "a message of files";
  }

  get connected() {
    return this.#stream !== null;
  }

  /** Starts the run; throws ApiError or NetworkError when the server does not accept it. */
  async start(type, params, key, accepted) {
    const stream = this.#open(() => {
      this.id = stream.runId;
      accepted();
    });
    await stream.start(type, params, key);
  }

  /** Sends its events to `listener`, {event(event), reconnecting(yes), ended(how)}; the buffered ones first. */
  subscribe(listener) {
    this.#listener = listener;
    this.connect();
    for (const call of this.#buffer.splice(0)) call(listener);
  }

  /** Connects to the run's events, if it is not connected. */
  connect() {
    if (this.#stream === null && this.id !== null) this.#open(() => {}).attach(this.id);
  }

  /** Buffers further events. */
  unsubscribe() {
    this.#listener = null;
  }

  /** Closes the connection and forgets the buffered events; `subscribe` connects again, from the first event. */
  disconnect() {
    const stream = this.#stream;
    this.#stream = null;
    this.#buffer = [];
    stream?.close();
  }

  /** Closes the connection; the listener gets `ended("closed")`. The run goes on. */
  close() {
    this.#stream?.close();
  }

  #open(opened) {
    const deliver = (call) => {
      if (stream !== this.#stream) return;
      if (this.#listener) call(this.#listener);
      else this.#buffer.push(call);
    };
    const stream = new RunStream(this.#api, this.#connectivity, {
      opened,
      event: (event) => {
        this.#update(event);
        deliver((listener) => listener.event(event));
        if (stream === this.#stream && !isQueuedEvent(event)) this.#onBegan(this);
      },
      reconnecting: (yes) => {
        if (stream === this.#stream) this.#listener?.reconnecting(yes);
      },
      ended: (how) => {
        deliver((listener) => listener.ended(how));
        if (stream === this.#stream && !this.#listener) this.#onEndedInQueue(this);
      },
    });
    this.#stream = stream;
    return stream;
  }

  #update(event) {
    if (event.type === "thread.item.done" && event.item.type === "user_message") this.committed = true;
    if (event.type === "error" && !this.committed) this.rejection = event.message ?? "The message was not accepted.";
  }
}
