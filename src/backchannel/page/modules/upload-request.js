// One upload. Not by `fetch`, which does not report how far it is.
import { ApiError, NetworkError } from "./api.js";

// How long no byte may be sent, and how long the server may check and store a file that it has.
const SENDING_LIMIT_MS = 60000;
const CHECKING_LIMIT_MS = 240000;

/** The file cannot be read any more: it was changed, moved or deleted since it was chosen. */
export class UnreadableFileError extends Error {
  constructor() {
    super("The file cannot be read: it was changed or moved since it was chosen. Remove it, and choose it again.");
    this.name = "UnreadableFileError";
  }
}

/**
 * Sends a file under a name, as the part `file` of a form; resolves to its attachment. Rejects with an ApiError,
 * NetworkError, UnreadableFileError, or an AbortError after `signal`. `progress(bytes, all)` is called as bytes are sent,
 * with `all` once the server has them.
 */
export function sendFile(address, file, name, { progress, signal }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    let timer = null;
    const wait = (ms) => {
      clearTimeout(timer);
      timer = setTimeout(() => request.abort(), ms);
    };
    const abort = () => request.abort();
    const settle = (act) => () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
      act();
    };
    request.upload.addEventListener("progress", ({ loaded }) => {
      wait(SENDING_LIMIT_MS);
      progress(Math.min(loaded, file.size), false);
    });
    request.upload.addEventListener("load", () => {
      wait(CHECKING_LIMIT_MS);
      progress(file.size, true);
    });
    request.addEventListener("load", settle(() => answer(request, resolve, reject)));
    request.addEventListener("error", settle(() => failureOf(file).then(reject)));
    request.addEventListener("abort", settle(() => reject(signal.aborted ? aborted() : new NetworkError())));
    signal.addEventListener("abort", abort);
    const form = new FormData();
    form.append("file", file, name);
    request.open("POST", address);
    request.responseType = "text";
    wait(SENDING_LIMIT_MS);
    request.send(form);
  });
}

function answer(request, resolve, reject) {
  let body = null;
  try {
    body = JSON.parse(request.responseText);
  } catch {
    // A proxy may respond with HTML.
  }
  const stored = request.status >= 200 && request.status < 300;
  if (stored && typeof body?.id === "string") {
    resolve(body);
    return;
  }
  const seconds = Number.parseInt(request.getResponseHeader("Retry-After") ?? "", 10);
  const known = typeof body?.message === "string" ? body : { message: messageOf(request.status, stored) };
  reject(new ApiError(request.status, known, Number.isNaN(seconds) ? null : seconds));
}

// Of responses that say nothing themselves.
function messageOf(status, stored) {
  if (stored) return "The server's answer cannot be read.";
  if (status === 413) return "The file is too large for a server on the way.";
  return `The upload failed with status ${status}.`;
}

// Browsers report a file that cannot be read like a connection that breaks.
async function failureOf(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
    return new NetworkError();
  } catch {
    return new UnreadableFileError();
  }
}

function aborted() {
  return new DOMException("The upload was cancelled.", "AbortError");
}
