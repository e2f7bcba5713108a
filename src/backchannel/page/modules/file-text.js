// What is shown of a file: its name, its size and its kind, as text. No DOM here.

// Of the end of a name, which stays when the middle is left out.
const TAIL_CHARS = 5;
const MAX_EXTENSION_CHARS = 10;
const MAX_LABEL_CHARS = 5;
// They are invisible and can make `exe.pdf` of the name `fdp.exe`.
const INVISIBLE = /[\u0000-\u001f\u007f-\u009f\u200b\u200e\u200f\u202a-\u202e\u2028\u2029\u2060-\u2069\ufeff]/g;

const STEP = 1024;
const UNITS = ["KB", "MB", "GB", "TB"];

/** A size for people. `round` is Math.floor for a limit and Math.ceil for what exceeds it, so that they differ. */
export function sizeText(bytes, round = Math.round) {
  if (bytes < STEP) return bytes === 1 ? "1 byte" : `${bytes} bytes`;
  let value = bytes / STEP;
  let unit = 0;
  while (value >= STEP && unit < UNITS.length - 1) {
    value /= STEP;
    unit += 1;
  }
  return `${round(value * 10) / 10} ${UNITS[unit]}`;
}

/** A name without characters that change how the others are shown. */
export function shownName(name) {
  return name.replace(INVISIBLE, "") || "file";
}

/** The extension in lower case, without the dot; "" if there is none. */
export function extensionOf(name) {
  const match = /[^.]\.([^.\s/\\]+)$/.exec(name);
  return match ? match[1].toLowerCase() : "";
}

/** A shown name as [head, tail]: only the head is to be shortened. Characters are not cut apart. */
export function splitName(name) {
  const characters = charactersOf(name);
  const extension = extensionOf(name);
  const length = extension === "" ? 0 : charactersOf(extension).length + 1;
  const tail = TAIL_CHARS + (length <= MAX_EXTENSION_CHARS ? length : 0);
  if (characters.length <= 2 * tail) return [name, ""];
  return [characters.slice(0, -tail).join(""), characters.slice(-tail).join("")];
}

function charactersOf(text) {
  if (!Intl.Segmenter) return Array.from(text);
  return Array.from(new Intl.Segmenter().segment(text), ({ segment }) => segment);
}

/** What a file is, in a word: its extension, or the end of its type. */
export function kindLabel(name, mimeType) {
  const extension = extensionOf(name);
  if (extension !== "" && extension.length <= MAX_LABEL_CHARS) return extension.toUpperCase();
  const [family, kind = ""] = (mimeType || "").split(";")[0].split("/");
  if (family === "image") return kind.length <= MAX_LABEL_CHARS ? kind.toUpperCase() : "Image";
  if (mimeType === "application/pdf") return "PDF";
  return family === "text" ? "Text" : "File";
}

/** Names in a sentence, of which the first three are given. */
export function namesText(names) {
  const quoted = names.map((name) => `“${middleCut(name)}”`);
  if (quoted.length <= 3) return quoted.join(", ");
  return `${quoted.slice(0, 3).join(", ")} and ${quoted.length - 3} more`;
}

/** A name for sentences, in which there is no box that could shorten it. */
export function middleCut(name, most = 40) {
  const shown = shownName(name);
  const [head, tail] = splitName(shown);
  const characters = charactersOf(head);
  const kept = most - charactersOf(tail).length - 1;
  return characters.length <= kept + 1 ? shown : `${characters.slice(0, kept).join("")}…${tail}`;
}
