// The files of the next message of one conversation. Those that the server has are stored for the browser tab.
import { middleCut, shownName } from "./file-text.js";

const STORED = "backchannel-files:";
// Pictures that browsers show.
const SHOWN = /^image\/(png|jpeg|gif|webp|avif|bmp)$/;

// By the name of the draft. Uploads go on while another conversation is open.
const lists = new Map();

/** One file: from the reader's computer, or one that the server has already. */
class DraftFile {
  /** "waiting", "sending", "checking" (the server has all bytes), "stored" or "failed". */
  state = "waiting";
  /** How many bytes were sent. */
  sent = 0;
  /** Why it failed, for people, and whether it can succeed later. */
  error = null;
  canRetry = false;
  /** What the server knows it as. */
  attachment = null;
  /** Set while it is being uploaded. */
  abort = null;
  /** How often its upload was cut off. */
  cuts = 0;
  removed = false;

  constructor(file, name, list) {
    this.file = file;
    this.name = name;
    this.list = list;
    this.size = file?.size ?? null;
    this.mimeType = file?.type ?? "";
    this.thumbnail = file && SHOWN.test(file.type) ? URL.createObjectURL(file) : null;
  }

  get pending() {
    return this.state !== "stored" && this.state !== "failed";
  }

  /** Changes what is known of it. */
  set(changes) {
    Object.assign(this, changes);
    this.list.changed(this);
  }

  release() {
    if (this.file && this.thumbnail) URL.revokeObjectURL(this.thumbnail);
    this.thumbnail = null;
  }
}

/** Fires "change" when files came or went, or when one changed. */
export class DraftFiles extends EventTarget {
  #name;
  #files = [];
  #refusals = [];

  constructor(name) {
    super();
    this.#name = name;
    for (const attachment of read(name)) this.#files.push(this.#restored(attachment));
  }

  /** In the order in which they were added. */
  get all() {
    return this.#files;
  }

  get pending() {
    return this.#files.filter((file) => file.pending);
  }

  get failed() {
    return this.#files.filter((file) => file.state === "failed");
  }

  /** Sentences about files that were not taken. */
  get refusals() {
    return this.#refusals;
  }

  set refusals(sentences) {
    this.#refusals = sentences;
    this.changed();
  }

  /** Why the message cannot be sent yet, and what to do, or null. */
  get blockedReason() {
    const [failed, second] = this.failed;
    if (second) return "Some files were not uploaded. Try again or remove them to send.";
    if (failed) return `“${middleCut(failed.name, 30)}” was not uploaded. ${failed.canRetry ? "Try again or remove it" : "Remove it"} to send.`;
    const waiting = this.pending.length;
    if (waiting === 0) return null;
    return `Uploading ${waiting === 1 ? "a file" : `${waiting} files`}. You can send when ${waiting === 1 ? "it is" : "they are"} uploaded.`;
  }

  /** Adds files of the reader's computer, as [file, name]; returns their entries. */
  add(named) {
    const files = named.map(([file, name]) => new DraftFile(file, name, this));
    this.#files = [...this.#files, ...files];
    this.changed();
    return files;
  }

  /** Whether a file is here already. */
  has(file) {
    const same = (other) => ["name", "size", "lastModified"].every((key) => other?.[key] === file[key]);
    return this.#files.some((entry) => same(entry.file));
  }

  /** Puts attachments that the server has before the others. */
  restore(attachments) {
    const known = new Set(this.#files.map((file) => file.attachment?.id));
    const missing = attachments.filter(({ id }) => !known.has(id));
    if (missing.length === 0) return;
    this.#files = [...missing.map((attachment) => this.#restored(attachment)), ...this.#files];
    this.changed();
  }

  /** Removes one. */
  remove(file) {
    file.removed = true;
    file.release();
    this.#files = this.#files.filter((other) => other !== file);
    this.changed();
  }

  /** Removes the stored ones, to be sent; returns their attachments, with their sizes. */
  take() {
    const stored = this.#files.filter((file) => file.state === "stored");
    for (const file of stored) file.release();
    this.#files = this.#files.filter((file) => file.state !== "stored");
    this.#refusals = [];
    this.changed();
    return stored.map(storedForm);
  }

  /** The draft has another name. */
  moveTo(name) {
    write(this.#name, []);
    if (lists.get(this.#name) === this) lists.delete(this.#name);
    this.#name = name;
    lists.set(name, this);
    this.#save();
  }

  /** Takes over the files of a draft that is given up. */
  absorb(other) {
    if (other === this) return;
    for (const file of other.#files) file.list = this;
    this.#files = [...other.#files, ...this.#files];
    other.#files = [];
    other.changed();
    lists.delete(other.#name);
    this.changed();
  }

  /** One has changed, or the list. */
  changed(file = null) {
    if (file === null || file.state === "stored") this.#save();
    this.dispatchEvent(new Event("change"));
  }

  #restored(attachment) {
    const file = new DraftFile(null, shownName(attachment.name ?? "file"), this);
    const { size = null, mime_type: mimeType = "", preview_url: thumbnail = null } = attachment;
    return Object.assign(file, { state: "stored", attachment, size, mimeType, thumbnail });
  }

  #save() {
    write(this.#name, this.#files.filter((file) => file.state === "stored").map(storedForm));
  }
}

function storedForm({ attachment, size }) {
  return { ...attachment, size };
}

/** The files of a draft, by its name: always the same list. */
export function filesOf(name) {
  if (!lists.has(name)) lists.set(name, new DraftFiles(name));
  return lists.get(name);
}

/** The names of drafts with stored files. */
export function namesWithFiles() {
  try {
    const names = Object.keys(sessionStorage).filter((key) => key.startsWith(STORED));
    return names.map((key) => key.slice(STORED.length));
  } catch {
    return [];
  }
}

function read(name) {
  try {
    const stored = JSON.parse(sessionStorage.getItem(STORED + name));
    return Array.isArray(stored) ? stored.filter((each) => typeof each?.id === "string") : [];
  } catch {
    return [];
  }
}

function write(name, attachments) {
  try {
    if (attachments.length === 0) sessionStorage.removeItem(STORED + name);
    else sessionStorage.setItem(STORED + name, JSON.stringify(attachments));
  } catch {
    // Without storage, they are lost with the page.
  }
}
