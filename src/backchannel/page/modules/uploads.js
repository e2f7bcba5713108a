// Uploads of all conversations: a few at once, in order, again when the connection is back.
import { announce } from "./announcer.js";
import { NetworkError } from "./api.js";
import { middleCut, shownName } from "./file-text.js";
import { UploadLimits, sortOut } from "./upload-limits.js";

// Browsers open six connections to one server, and the chat needs some.
const MAX_AT_ONCE = 3;
// How often an upload that was cut off begins again by itself. Proxies also cut off what is too large for them.
const MAX_CUTS = 2;
const TRANSIENT_STATUSES = [401, 408, 425, 429];

export class Uploads {
  #api;
  #waiting = [];
  #active = new Set();

  constructor(api, connectivity) {
    this.#api = api;
    this.connectivity = connectivity;
    /** What the server takes. */
    this.limits = new UploadLimits(api);
    connectivity.addEventListener("change", () => this.#whenReachable());
  }

  /** Whether files are taken. */
  get available() {
    return this.limits.current !== null;
  }

  /**
   * Adds files to those of a draft, and uploads them; `folders` are the names of folders, which are refused. `pasted`
   * ones are named, because browsers give the same name to all.
   */
  add(list, files, { folders = [], pasted = false } = {}) {
    const limits = this.limits.current;
    if (!limits) return;
    const fresh = files.filter((file) => !list.has(file));
    const waiting = [...this.#active, ...this.#waiting].reduce((sum, file) => sum + file.size, 0);
    const { taken, refusals } = sortOut(fresh, limits, { count: list.all.length, bytes: waiting });
    const again = files.filter((file) => !fresh.includes(file)).map((file) => `“${middleCut(file.name)}” is attached already.`);
    const inFolders = folders.map((name) => `“${middleCut(name)}” is a folder. Attach the files in it.`);
    list.refusals = [...inFolders, ...refusals, ...again];
    const names = new Set(list.all.map((file) => file.name));
    const entries = list.add(taken.map((file) => [file, pasted ? pastedName(file, names) : shownName(file.name)]));
    this.#enqueue(entries);
  }

  /** Uploads a file again that has failed. */
  retry(file) {
    file.set({ state: "waiting", sent: 0, error: null, cuts: 0 });
    this.#enqueue([file]);
  }

  /** Removes a file from its draft: cancels its upload, or deletes it on the server. */
  remove(file) {
    this.#waiting = this.#waiting.filter((other) => other !== file);
    // One that the server has completely is deleted when it has been stored: cancelling would leave it there.
    if (file.state === "sending") file.abort?.();
    if (file.state === "stored") this.#delete(file.attachment, file.size ?? 0);
    file.list.remove(file);
    // Others do not wait until the server has stored what is not wanted any more.
    this.#active.delete(file);
    this.#advance();
    announce(`“${middleCut(file.name)}” removed.`);
  }

  #enqueue(files) {
    this.#waiting.push(...files);
    this.#advance();
  }

  #advance() {
    while (this.connectivity.online && this.#active.size < MAX_AT_ONCE && this.#waiting.length > 0) {
      this.#upload(this.#waiting.shift());
    }
  }

  async #upload(file) {
    const controller = new AbortController();
    this.#active.add(file);
    file.set({ state: "sending", sent: 0, abort: () => controller.abort() });
    const progress = (sent, all) => !file.removed && file.set({ sent, state: all ? "checking" : "sending" });
    try {
      const options = { progress, signal: controller.signal };
      this.#stored(file, await this.#api.upload(file.file, file.name, options));
    } catch (error) {
      if (!file.removed) this.#failed(file, error);
    }
    this.#active.delete(file);
    this.#advance();
  }

  #stored(file, attachment) {
    this.limits.addUsed(file.size);
    if (file.removed) {
      this.#delete(attachment, file.size);
      return;
    }
    file.set({ state: "stored", sent: file.size, attachment, name: shownName(attachment.name ?? file.name), abort: null });
    if (file.list.pending.length > 0 || file.list.failed.length > 0) return;
    const count = file.list.all.length;
    announce(count === 1 ? `“${middleCut(file.name)}” is attached.` : `${count} files are attached.`);
  }

  #failed(file, error) {
    const cuts = file.cuts + 1;
    if (error instanceof NetworkError && cuts <= MAX_CUTS) {
      this.#waiting.unshift(file);
      file.set({ state: "waiting", sent: 0, abort: null, cuts });
      return;
    }
    const canRetry = mayPass(error);
    file.set({ state: "failed", error: error.message, canRetry, abort: null });
    announce(`“${middleCut(file.name)}” was not uploaded. ${error.message}`);
    if (error.status === 413) this.limits.refresh();
  }

  async #delete(attachment, size) {
    try {
      await this.#api.call("attachments.delete", { attachment_id: attachment.id });
      this.limits.addUsed(-size);
    } catch {
      // The server deletes files that are not sent after a while.
    }
  }

  #whenReachable() {
    if (!this.connectivity.online) return;
    if (!this.limits.known) this.limits.refresh();
    this.#advance();
  }
}

// Whether the same file can be taken later.
function mayPass(error) {
  if (error.name === "UnreadableFileError") return false;
  if (error instanceof NetworkError) return true;
  return error.status >= 500 || TRANSIENT_STATUSES.includes(error.status) || error.code === "file_quota_exceeded";
}

function pastedName(file, names) {
  if (file.name !== "" && !/^image\.\w+$/i.test(file.name)) return shownName(file.name);
  const extension = /^image\/(\w+)/.exec(file.type)?.[1].replace("jpeg", "jpg") ?? "bin";
  let name = `Pasted picture.${extension}`;
  for (let number = 2; names.has(name); number += 1) name = `Pasted picture ${number}.${extension}`;
  names.add(name);
  return name;
}
