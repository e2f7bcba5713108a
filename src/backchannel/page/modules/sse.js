// A parser for server-sent events as the HTML standard defines the format.

const LF = "\n";
const CR = "\r";

/**
 * Takes the bytes of an event stream in chunks cut anywhere, even inside a character, and calls back
 * with {type, data, id, numbered} for every complete event, in order. An event without an id of its own has
 * the last one's, and is not `numbered`. `onComment(text)` is called for comments, which the standard ignores.
 */
export class SseParser {
  #decoder = new TextDecoder("utf-8");
  #onEvent;
  #onComment;
  #line = "";
  #afterCarriageReturn = false;
  #data = null;
  #type = "";
  #lastEventId = "";
  #pendingId = "";
  #numbered = false;
  #retry = null;

  constructor(onEvent, onComment = () => {}) {
    this.#onEvent = onEvent;
    this.#onComment = onComment;
  }

  /** The id of the last event that was dispatched, or "". */
  get lastEventId() {
    return this.#lastEventId;
  }

  /** The reconnection delay in milliseconds that the stream asked for, or null. */
  get retry() {
    return this.#retry;
  }

  /** Takes the next bytes of the stream. */
  push(bytes) {
    this.#text(this.#decoder.decode(bytes, { stream: true }));
  }

  /** Ends the stream. An event without its closing blank line is dropped, as the standard demands. */
  end() {
    this.#text(this.#decoder.decode());
    this.#line = "";
    this.#data = null;
    this.#type = "";
  }

  #text(text) {
    let start = 0;
    for (let index = 0; index < text.length; index += 1) {
      const character = text[index];
      if (character === LF && this.#afterCarriageReturn) {
        // The second half of CRLF; its line was handled at the CR, perhaps in an earlier chunk.
        this.#afterCarriageReturn = false;
        start = index + 1;
        continue;
      }
      this.#afterCarriageReturn = false;
      if (character !== LF && character !== CR) continue;
      this.#handleLine(this.#line + text.slice(start, index));
      this.#line = "";
      this.#afterCarriageReturn = character === CR;
      start = index + 1;
    }
    this.#line += text.slice(start);
  }

  #handleLine(line) {
    if (line === "") {
      this.#dispatch();
      return;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (colon === 0) this.#onComment(value);
    else this.#handleField(field, value);
  }

  #handleField(field, value) {
    if (field === "data") this.#data = this.#data === null ? value : this.#data + LF + value;
    else if (field === "event") this.#type = value;
    else if (field === "retry" && /^[0-9]+$/.test(value)) this.#retry = Number(value);
    else if (field === "id" && !value.includes("\0")) {
      this.#pendingId = value;
      this.#numbered = true;
    }
  }

  #dispatch() {
    this.#lastEventId = this.#pendingId;
    const data = this.#data;
    const type = this.#type || "message";
    const numbered = this.#numbered;
    this.#data = null;
    this.#type = "";
    this.#numbered = false;
    if (data !== null) this.#onEvent({ type, data, id: this.#lastEventId, numbered });
  }
}
