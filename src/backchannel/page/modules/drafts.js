// What was written in a conversation and is not in its thread yet. Stored for the session of the browser tab.
import { attemptKey } from "./api.js";
import { filesOf, namesWithFiles } from "./draft-files.js";

const OF_THREAD = "backchannel-draft:";
const OF_NEW_CHAT = "backchannel-new-draft:";

// The names of this page's drafts of chats that are not threads yet. There may be several while first messages are
// being sent; those of an earlier page are taken over by the next new chat.
const names = new Set();

/** The draft of one conversation: the text in its box, its files, the messages being sent, answers to forms. */
export class Draft {
  #name;
  #text = "";
  // Messages that the server is not known to have, as {key, text, attachments, after, returned}: `after` is the last
  // item that was known, and `returned` messages are in the text and the files again.
  #sent = [];
  // Keys of messages that this page is sending.
  #sending = new Set();
  #answers = {};

  constructor(threadId) {
    /** Grows when the text changes otherwise than by `text = …`. */
    this.revision = 0;
    if (threadId === null) {
      const abandoned = abandonedNames();
      this.#name = newName();
      this.files = filesOf(this.#name);
      for (const name of abandoned) {
        this.#add(read(name));
        write(name, null);
        this.files.absorb(filesOf(name));
      }
      this.recover(() => false);
    } else {
      this.#name = OF_THREAD + threadId;
      /** The files of the next message: a `DraftFiles`. */
      this.files = filesOf(this.#name);
      this.#add(read(this.#name));
    }
  }

  get text() {
    return this.#text;
  }

  set text(text) {
    this.#text = text;
    this.#save();
  }

  /** Puts a text before what is in the box, and attachments before the files. */
  putBack(text, attachments = []) {
    this.#add({ text });
    this.files.restore(attachments);
    this.#save();
  }

  /** The idempotency key of a message that is being sent: the same one if it was sent before. */
  begin(text, after, attachments = []) {
    // A returned message that was changed is another one.
    const same = (other) => other.text === text && idsOf(other.attachments) === idsOf(attachments);
    this.#sent = this.#sent.filter((message) => !message.returned || same(message));
    let message = this.#sent.find((other) => other.returned);
    if (!message) this.#sent.push((message = { key: attemptKey(), text, attachments, after }));
    message.returned = false;
    this.#sending.add(message.key);
    this.#save();
    return message.key;
  }

  /** The server has accepted a message. */
  accepted(key) {
    this.#sending.delete(key);
    this.#sent = this.#sent.filter((message) => message.key !== key);
    this.#save();
  }

  /** A message could not be sent. `unknown`: the server may have got it, so its key is needed again. */
  failed(key, unknown) {
    const message = this.#sent.find((other) => other.key === key);
    if (!unknown) this.accepted(key);
    this.#sending.delete(key);
    message.returned = true;
    this.putBack(message.text, message.attachments);
  }

  /** Puts back the messages that an earlier page was sending, except those of which `arrived(message)` is true. */
  recover(arrived) {
    const open = this.#sent.filter(({ key, returned }) => !returned && !this.#sending.has(key));
    this.#sent = this.#sent.filter((message) => !open.includes(message) || !arrived(message));
    for (const message of open.filter((other) => this.#sent.includes(other)).reverse()) {
      message.returned = true;
      this.putBack(message.text, message.attachments);
    }
    this.#save();
  }

  /** The unsent answers to a form, as they were stored, or null. */
  answers(itemId) {
    return this.#answers[itemId] ?? null;
  }

  /** Stores unsent answers to a form; null removes them. */
  setAnswers(itemId, values) {
    if (values === null && !(itemId in this.#answers)) return;
    if (values === null) delete this.#answers[itemId];
    else this.#answers[itemId] = values;
    this.#save();
  }

  /** The conversation has become a thread. */
  moveTo(threadId) {
    write(this.#name, null);
    names.delete(this.#name);
    this.#name = OF_THREAD + threadId;
    this.files.moveTo(this.#name);
    this.#save();
  }

  /** Takes over the draft of a conversation that is given up. */
  absorb(other) {
    this.#add({ text: other.#text, sent: other.#sent });
    this.files.absorb(other.files);
    write(other.#name, null);
    names.delete(other.#name);
    this.#save();
  }

  #add(stored) {
    const { text = "", sent = [], answers = {} } = stored ?? {};
    this.#text = [text, this.#text].filter(Boolean).join("\n");
    this.#sent = [...sent, ...this.#sent];
    Object.assign(this.#answers, answers);
    this.revision += 1;
  }

  #save() {
    const empty = this.#text === "" && this.#sent.length === 0 && Object.keys(this.#answers).length === 0;
    write(this.#name, empty ? null : { text: this.#text, sent: this.#sent, answers: this.#answers });
  }
}

function newName() {
  let number = 1;
  while (names.has(OF_NEW_CHAT + number)) number += 1;
  names.add(OF_NEW_CHAT + number);
  return OF_NEW_CHAT + number;
}

function idsOf(attachments = []) {
  return attachments.map(({ id }) => id).join();
}

function abandonedNames() {
  try {
    const stored = new Set([...Object.keys(sessionStorage), ...namesWithFiles()]);
    return [...stored].filter((name) => name.startsWith(OF_NEW_CHAT) && !names.has(name));
  } catch {
    return [];
  }
}

function read(name) {
  try {
    return JSON.parse(sessionStorage.getItem(name));
  } catch {
    return null;
  }
}

function write(name, value) {
  try {
    if (value === null) sessionStorage.removeItem(name);
    else sessionStorage.setItem(name, JSON.stringify(value));
  } catch {
    // Without storage, drafts are lost when another conversation is opened.
  }
}
