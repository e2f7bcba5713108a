// What the server takes as files, and which files to refuse before they are uploaded. The server decides in the end.
import { extensionOf, kindLabel, middleCut, namesText, sizeText } from "./file-text.js";

// Of types that browsers do not know everywhere; for the dialog in which files are chosen.
const EXTENSIONS = {
  "text/plain": [".txt", ".log", ".text"],
  "text/markdown": [".md", ".markdown"],
  "text/csv": [".csv"],
  "text/tab-separated-values": [".tsv"],
  "application/json": [".json"],
  "application/pdf": [".pdf"],
  "image/jpeg": [".jpg", ".jpeg"],
  "image/heic": [".heic"],
  "image/heif": [".heif"],
  "image/avif": [".avif"],
};
// Names of types for people, where the type does not end with one.
const LABELS = {
  "image/webp": "WebP",
  "text/plain": "text",
  "text/markdown": "Markdown",
  "text/tab-separated-values": "TSV",
  "image/*": "pictures",
  "audio/*": "audio",
  "video/*": "video",
  "text/*": "text",
};
// Types that no text has. All others depend on the computer: a CSV file can be one of Excel's, and code of any type.
const NO_TEXT = /^(image|audio|video|font)\/|^application\/(pdf|zip|gzip|x-7z|x-tar|x-rar|vnd\.rar|x-ms|msword|epub)/;
const OFFICE = /^application\/vnd\.(openxmlformats|oasis)/;
// TypeScript, which browsers take for a video.
const AMBIGUOUS = new Set(["ts", "mts"]);
const MAX_LABELS = 12;

/** The limits of the server; `current` is null while they are not known, and if it takes no files. Fires "change". */
export class UploadLimits extends EventTarget {
  #api;
  #known = false;
  #current = null;

  constructor(api) {
    super();
    this.#api = api;
  }

  /** As {max_bytes, max_files, types, quota_bytes, used_bytes}. */
  get current() {
    return this.#current;
  }

  /** Whether the server has answered. */
  get known() {
    return this.#known;
  }

  /** Asks the server. If it cannot be asked, what was known stays. */
  async refresh() {
    try {
      this.#set(usable(await this.#api.uploadLimits()));
    } catch (error) {
      // A server without files says so with 4xx; one that has a moment of trouble is asked again later.
      if (error.status >= 400 && error.status < 500 && error.status !== 401 && error.status !== 429) this.#set(null);
    }
  }

  /** Counts bytes that were stored or, if negative, deleted. */
  addUsed(bytes) {
    if (this.#current) this.#current.used_bytes = Math.max(0, this.#current.used_bytes + bytes);
  }

  #set(limits) {
    this.#known = true;
    this.#current = limits;
    this.dispatchEvent(new Event("change"));
  }
}

function usable(limits) {
  const valid = limits && limits.max_bytes > 0 && limits.max_files > 0 && Array.isArray(limits.types);
  return valid ? { used_bytes: 0, quota_bytes: null, ...limits } : null;
}

/** The `accept` of a file input. With `image/*`, phones offer the camera and iPhones convert HEIC. */
export function acceptOf(types) {
  const pictures = types.some((type) => type.startsWith("image/")) ? ["image/*"] : [];
  const all = [...pictures, ...types, ...types.flatMap((type) => EXTENSIONS[type] ?? [])];
  return [...new Set(all)].join(",");
}

/** The types for people, such as "PNG, JPEG, PDF". */
export function typesText(types) {
  const labels = types.map((type) => LABELS[type] ?? type.replace(/^.*[/.]/, "").replace(/^x-|\+.*$/g, "").toUpperCase());
  const different = [...new Set(labels)];
  const rest = different.length - MAX_LABELS;
  return different.slice(0, MAX_LABELS).join(", ") + (rest > 0 ? ` and ${rest} more` : "");
}

/** Whether a file can be of one of the types, by its name and what the browser takes it for. */
export function mayBeTaken(name, mimeType, types) {
  const extension = extensionOf(name);
  const type = mimeType.split(";")[0].toLowerCase();
  if (types.includes(`.${extension}`) || AMBIGUOUS.has(extension)) return true;
  if (types.some((allowed) => matches(type, allowed))) return true;
  const named = types.some((allowed) => EXTENSIONS[allowed]?.includes(`.${extension}`));
  return named || !(NO_TEXT.test(type) || OFFICE.test(type));
}

function matches(type, allowed) {
  return type === allowed || (allowed.endsWith("/*") && type.startsWith(allowed.slice(0, -1)));
}

/**
 * Which of the files can be uploaded, and why the others cannot, as {taken, refusals}: of each refusal a sentence.
 * `there` is {count, bytes}: the files of the message, and the bytes that the server does not count yet.
 */
export function sortOut(files, limits, there) {
  const taken = [];
  const refusals = [];
  const surplus = [];
  let { bytes } = there;
  for (const file of files) {
    const reason = reasonAgainst(file, limits, bytes);
    if (reason !== null) refusals.push(reason);
    else if (there.count + taken.length >= limits.max_files) surplus.push(file.name);
    else {
      taken.push(file);
      bytes += file.size;
    }
  }
  if (surplus.length > 0) refusals.push(tooMany(limits.max_files, surplus));
  return { taken, refusals };
}

function tooMany(most, names) {
  return `A message can have ${most} ${most === 1 ? "file" : "files"} at most. Not attached: ${namesText(names)}.`;
}

function reasonAgainst(file, limits, bytes) {
  const name = `“${middleCut(file.name)}”`;
  if (!mayBeTaken(file.name, file.type, limits.types)) {
    const kind = kindLabel(file.name, file.type);
    const type = kind === "File" ? "this type" : `type ${kind}`;
    return `${name} was not attached: files of ${type} are not taken here, only ${typesText(limits.types)}.`;
  }
  if (file.size === 0) return `${name} is empty. Choose another file.`;
  if (file.size > limits.max_bytes) {
    const most = sizeText(limits.max_bytes, Math.floor);
    return `${name} is too large: it has ${sizeText(file.size, Math.ceil)}, and a file can have ${most}.`;
  }
  const left = limits.quota_bytes === null ? Infinity : Math.max(0, limits.quota_bytes - limits.used_bytes - bytes);
  if (file.size <= left) return null;
  const whole = sizeText(limits.quota_bytes, Math.floor);
  return `${name} does not fit: ${sizeText(left, Math.floor)} of your ${whole} for files are left. Delete chats with files that you do not need any more.`;
}
