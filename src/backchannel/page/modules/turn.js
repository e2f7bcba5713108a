// One run of a conversation: followed at once, but heard only when its turn has come.
import { RunStream } from "./run-stream.js";

/**
 * What a run says before its turn is kept back, so that a conversation hears its runs one after the other
 * though each has a connection of its own.
 */
export class Turn {
  #api;
  #connectivity;
  #stream = null;
  #listener = null;
  #unheard = [];
  #whenOver;

  /**
   * `text` is the message of which the server has not said yet that it is in the thread, or null; `runId`
   * names a run that was started elsewhere; `whenOver(turn)` is called if it ends before its turn.
   */
  constructor(api, connectivity, { text = null, runId = null, whenOver = () => {} } = {}) {
    this.#api = api;
    this.#connectivity = connectivity;
    this.#whenOver = whenOver;
    this.text = text;
    this.runId = runId;
    /** Whether it was found on the server, and not started here. */
    this.found = runId !== null;
    /** Whether the message is in the thread, or there is none. */
    this.takenIn = text === null;
    this.withdrawing = false;
    /** Why the message will never be in the thread, once it is known that it will not; in words for people. */
    this.refusal = null;
  }

  /** Whether it has a connection of its own. */
  get connected() {
    return this.#stream !== null;
  }

  /** Starts the run; throws ApiError or NetworkError when the server does not accept it. */
  async start(type, params, key, accepted) {
    const stream = this.#open(() => {
      this.runId = stream.runId;
      accepted();
    });
    await stream.start(type, params, key);
  }

  /** From now on its events go to `listener`, {event(event), reconnecting(yes), ended(how)}; those kept back first. */
  hear(listener) {
    this.#listener = listener;
    if (this.#stream === null && this.runId !== null) this.#open(() => {}).attach(this.runId);
    for (const say of this.#unheard.splice(0)) say(listener);
  }

  /** Its turn has not come after all. */
  unhear() {
    this.#listener = null;
  }

  /** Gives up the connection until its turn comes. */
  rest() {
    const stream = this.#stream;
    this.#stream = null;
    this.#unheard = [];
    stream?.close();
  }

  /** Stops listening at once; the run itself goes on. */
  close() {
    this.#stream?.close();
  }

  #open(opened) {
    const say = (words) => {
      if (stream !== this.#stream) return;
      if (this.#listener) words(this.#listener);
      else this.#unheard.push(words);
    };
    const stream = new RunStream(this.#api, this.#connectivity, {
      opened,
      event: (event) => {
        this.#note(event);
        say((listener) => listener.event(event));
      },
      reconnecting: (yes) => {
        if (stream === this.#stream) this.#listener?.reconnecting(yes);
      },
      ended: (how) => {
        say((listener) => listener.ended(how));
        if (stream === this.#stream && !this.#listener) this.#whenOver(this);
      },
    });
    this.#stream = stream;
    return stream;
  }

  #note(event) {
    if (event.type === "thread.item.done" && event.item.type === "user_message") this.takenIn = true;
    if (event.type === "error" && !this.takenIn) this.refusal = event.message ?? "The message could not be taken in.";
  }
}
