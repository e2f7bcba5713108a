// Files that are dropped on the page or pasted into it.
import { el } from "./dom.js";
import { sizeText } from "./file-text.js";

// A drag that ends outside the window is not always reported; while one goes on there are events several times a second.
const DRAG_ENDED_MS = 1200;

/** What was dropped: files, and the names of folders. Browsers give folders as files that cannot be read. */
function droppedFiles(transfer) {
  const files = [];
  const folders = [];
  for (const item of transfer.items) {
    const file = item.kind === "file" ? item.getAsFile() : null;
    if (!file) continue;
    if (item.webkitGetAsEntry?.()?.isDirectory) folders.push(file.name);
    else files.push(file);
  }
  return { files, folders };
}

/**
 * The files of a clipboard that are meant. With a text beside a picture, as of Word and Excel, the text is meant; but the
 * text beside files of a folder is only their names.
 */
export function pastedFiles(clipboard) {
  const files = [...(clipboard?.files ?? [])];
  const text = clipboard?.getData("text/plain").trim() ?? "";
  if (files.length === 0 || text === "") return files;
  const names = new Set(files.map((file) => file.name));
  const isNames = text.split(/[\r\n]+/).every((line) => names.has(decoded(line).replace(/^.*[/\\]/, "")));
  return isNames ? files : [];
}

function decoded(line) {
  if (!line.startsWith("file:")) return line;
  try {
    return decodeURIComponent(line);
  } catch {
    return line;
  }
}

/** Whether pasting into an element is somebody else's matter, such as the search box's. */
function takesTextItself(target, messageBox) {
  if (target === messageBox || !(target instanceof HTMLElement)) return false;
  return target.isContentEditable || target.closest("input, textarea, select, dialog") !== null;
}

/** Takes what is pasted anywhere on the page. `canTake()` says whether files can be taken now. */
export function listenToPaste(messageBox, canTake, take) {
  document.addEventListener("paste", (event) => {
    if (event.defaultPrevented || !canTake() || takesTextItself(event.target, messageBox)) return;
    const files = pastedFiles(event.clipboardData);
    if (files.length === 0) return;
    event.preventDefault();
    take(files);
  });
}

/** Takes files that are dropped on an element, and shows while they are dragged that it does. */
export class DropZone {
  #target;
  #canTake;
  #take;
  #limits;
  #element;
  #limitLine = el("span", { class: "drop-limits" });
  #timer = null;
  // Whether something of this page itself is dragged.
  #ownDrag = false;

  /** `limits()` gives the limits of uploads; `take({files, folders})` gets what was dropped. */
  constructor(target, { canTake, limits, take, picture }) {
    this.#target = target;
    this.#canTake = canTake;
    this.#limits = limits;
    this.#take = take;
    const card = el("div", { class: "drop-card" }, picture, el("strong", {}, "Drop files to attach them"), this.#limitLine);
    this.#element = el("div", { class: "drop-zone", "aria-hidden": "true", hidden: true }, card);
    target.append(this.#element);
    document.addEventListener("dragstart", () => (this.#ownDrag = true));
    document.addEventListener("dragend", () => (this.#ownDrag = false));
    for (const type of ["dragenter", "dragover"]) addEventListener(type, (event) => this.#drag(event));
    addEventListener("dragleave", (event) => {
      if (event.relatedTarget === null) this.#hide();
    });
    addEventListener("drop", (event) => this.#drop(event));
  }

  #hasFiles({ dataTransfer }) {
    return !this.#ownDrag && Array.from(dataTransfer?.types ?? []).includes("Files");
  }

  #accepts(event) {
    const dialog = document.querySelector("dialog[open]");
    return !dialog && !this.#target.inert && this.#target.contains(event.target) && this.#canTake();
  }

  #drag(event) {
    if (!this.#hasFiles(event)) return;
    // Also where nothing can be dropped: the browser would leave the page and open the file.
    event.preventDefault();
    const accepted = this.#accepts(event);
    event.dataTransfer.dropEffect = accepted ? "copy" : "none";
    if (accepted) this.#show();
    else this.#hide();
  }

  #drop(event) {
    this.#hide();
    if (!this.#hasFiles(event)) return;
    event.preventDefault();
    if (this.#accepts(event)) this.#take(droppedFiles(event.dataTransfer));
  }

  #show() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#hide(), DRAG_ENDED_MS);
    if (!this.#element.hidden) return;
    const { max_files: count, max_bytes: bytes } = this.#limits();
    const files = count === 1 ? "One file" : `Up to ${count} files`;
    this.#limitLine.textContent = `${files}, ${sizeText(bytes, Math.floor)} each`;
    this.#element.hidden = false;
  }

  #hide() {
    clearTimeout(this.#timer);
    this.#element.hidden = true;
  }
}
