// Inline markdown: a line of text becomes a tree of plain nodes. No DOM here.
//
// Nodes: {type: "text", text} | {type: "code", text} | {type: "break"} |
// {type: "strong" | "em" | "del", children} | {type: "link", href, source, children} |
// {type: "image", src, alt, source}.
// With `partial`, the text is the end of an answer still being written: what is open is closed as if the
// closing mark had arrived, and marks that have nothing after them yet are left out.

const ESCAPABLE = /[!-/:-@[-`{-~]/;
const ENTITIES = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0", hellip: "…", mdash: "—", ndash: "–" };
const ENTITY = /^&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|(\w{2,8}));/;
const BARE_URL = /^(?:https?:\/\/|www\.)[^\s<>"`]+/i;
const AUTOLINK = /^<((?:https?:\/\/|mailto:)[^\s<>]+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+)>/i;
// Deeper emphasis than this is not emphasis any more, and drawing it would exhaust the stack.
const MAX_DEPTH = 16;
const SPACE = /\s/;
const PUNCTUATION = /[\p{P}\p{S}]/u;

/** Parses inline markdown. */
export function parseInline(source, { partial = false } = {}) {
  const reader = new InlineReader(source, partial);
  return reader.read();
}

class InlineReader {
  constructor(source, partial) {
    this.source = source;
    this.partial = partial;
    this.position = 0;
    // Nodes and delimiter runs in order; runs turn into elements or text at the end.
    this.pieces = [];
  }

  read() {
    while (this.position < this.source.length) {
      const character = this.source[this.position];
      const handled = HANDLERS[character]?.(this) ?? false;
      if (!handled && !this.bareUrl()) this.text(character, 1);
    }
    return resolveDelimiters(this.pieces, this.partial);
  }

  text(text, length) {
    const last = this.pieces.at(-1);
    if (last?.type === "text") last.text += text;
    else this.pieces.push({ type: "text", text });
    this.position += length;
  }

  node(node, length) {
    this.pieces.push(node);
    this.position += length;
    return true;
  }

  bareUrl() {
    const { source, position } = this;
    const first = source[position];
    if (!/[hHwW]/.test(first) || (position > 0 && /[\w/@.]/.test(source[position - 1]))) return false;
    const match = BARE_URL.exec(source.slice(position, position + 2000));
    if (!match) return false;
    const address = withoutTrailingPunctuation(match[0]);
    const href = /^www\./i.test(address) ? `https://${address}` : address;
    if (address.length < 8) return false;
    return this.node({ type: "link", href, source: address, children: [{ type: "text", text: address }] }, address.length);
  }
}

const HANDLERS = {
  "\\": (reader) => {
    const next = reader.source[reader.position + 1];
    if (next === "\n") return reader.node({ type: "break" }, 2);
    if (next === undefined) {
      reader.text(reader.partial ? "" : "\\", 1);
      return true;
    }
    if (!ESCAPABLE.test(next)) return false;
    reader.text(next, 2);
    return true;
  },
  "\n": (reader) => {
    const last = reader.pieces.at(-1);
    if (last?.type === "text") last.text = last.text.replace(/ +$/, "");
    reader.node({ type: "break" }, 1);
    while (reader.source[reader.position] === " ") reader.position += 1;
    return true;
  },
  "&": (reader) => {
    const match = ENTITY.exec(reader.source.slice(reader.position, reader.position + 12));
    if (!match) return false;
    const text = entityText(match);
    if (text === null) return false;
    reader.text(text, match[0].length);
    return true;
  },
  "`": codeSpan,
  "*": delimiterRun,
  _: delimiterRun,
  "~": delimiterRun,
  "[": (reader) => link(reader, false),
  "!": (reader) => reader.source[reader.position + 1] === "[" && link(reader, true),
  "<": (reader) => {
    const match = AUTOLINK.exec(reader.source.slice(reader.position, reader.position + 2000));
    if (!match) return false;
    const address = match[1];
    const href = /^(https?|mailto):/i.test(address) ? address : `mailto:${address}`;
    const children = [{ type: "text", text: address }];
    return reader.node({ type: "link", href, source: match[0], children }, match[0].length);
  },
};

function entityText([, decimal, hexadecimal, name]) {
  if (name) return Object.hasOwn(ENTITIES, name) ? ENTITIES[name] : null;
  const code = decimal ? Number.parseInt(decimal, 10) : Number.parseInt(hexadecimal, 16);
  return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : "\ufffd";
}

function codeSpan(reader) {
  const { source, position } = reader;
  const fence = /^`+/.exec(source.slice(position))[0];
  let from = position + fence.length;
  for (;;) {
    const start = source.indexOf(fence, from);
    if (start < 0) return openCodeSpan(reader, fence);
    let end = start;
    while (source[end] === "`") end += 1;
    if (end - start === fence.length) {
      return reader.node({ type: "code", text: trimCode(source.slice(position + fence.length, start)) }, end - position);
    }
    from = end;
  }
}

function openCodeSpan(reader, fence) {
  const rest = reader.source.slice(reader.position + fence.length);
  if (!reader.partial) {
    reader.text(fence, fence.length);
    return true;
  }
  const text = trimCode(rest.replace(/`+$/, ""));
  if (text === "") {
    reader.position = reader.source.length;
    return true;
  }
  return reader.node({ type: "code", text }, reader.source.length - reader.position);
}

function trimCode(text) {
  const flat = text.replaceAll("\n", " ");
  return /^ .*\S.* $/.test(flat) ? flat.slice(1, -1) : flat;
}

function withoutTrailingPunctuation(address) {
  let text = address.replace(/[.,:;!?'"*_~]+$/, "");
  while (text.endsWith(")") && count(text, ")") > count(text, "(")) text = text.slice(0, -1);
  return text.replace(/[.,:;!?'"*_~]+$/, "");
}

function count(text, character) {
  return text.split(character).length - 1;
}

// A link or an image. Links inside of links and reference links are not a thing here.
function link(reader, isImage) {
  const start = reader.position + (isImage ? 2 : 1);
  const close = closingBracket(reader.source, start);
  if (close < 0) return reader.partial && openLink(reader, start, isImage);
  const label = reader.source.slice(start, close);
  const target = /^\(\s*(<[^<>\n]*>|(?:[^\s()]|\((?:[^\s()])*\))*)(?:\s+(?:"[^"]*"|'[^']*'|\([^)]*\)))?\s*\)/.exec(
    reader.source.slice(close + 1),
  );
  if (!target) {
    const unfinished = reader.partial && /^\([^)\n]*$/.test(reader.source.slice(close + 1));
    if (!unfinished) return false;
    return spread(reader, label, reader.source.length - reader.position, isImage);
  }
  const address = target[1].replace(/^<|>$/g, "");
  const length = close + 1 + target[0].length - reader.position;
  const source = reader.source.slice(reader.position, reader.position + length);
  if (isImage) return reader.node({ type: "image", src: address, alt: label, source }, length);
  return reader.node({ type: "link", href: address, source, children: parseInline(label) }, length);
}

// While "[text](http://exa" arrives, the reader sees the text without its brackets.
function openLink(reader, start, isImage) {
  const rest = reader.source.slice(start);
  if (rest.length > 300 || rest.includes("\n")) return false;
  return spread(reader, rest, reader.source.length - reader.position, isImage);
}

function spread(reader, label, length, isImage) {
  if (isImage) reader.position += length;
  else {
    reader.pieces.push(...parseInline(label, { partial: true }));
    reader.position += length;
  }
  return true;
}

function closingBracket(source, start) {
  let depth = 0;
  for (let index = start; index < source.length && index - start < 500; index += 1) {
    const character = source[index];
    if (character === "\\") index += 1;
    else if (character === "[") depth += 1;
    else if (character === "]") {
      if (depth === 0) return index;
      depth -= 1;
    }
  }
  return -1;
}

function delimiterRun(reader) {
  const { source, position } = reader;
  const character = source[position];
  let end = position;
  while (source[end] === character) end += 1;
  const length = end - position;
  if (character === "~" && length !== 2) return false;
  const before = position > 0 ? source[position - 1] : " ";
  const after = end < source.length ? source[end] : " ";
  const leftFlanking = !SPACE.test(after) && (!PUNCTUATION.test(after) || SPACE.test(before) || PUNCTUATION.test(before));
  const rightFlanking =
    !SPACE.test(before) && (!PUNCTUATION.test(before) || SPACE.test(after) || PUNCTUATION.test(after));
  const word = character === "_";
  return reader.node(
    {
      type: "run",
      character,
      length,
      original: length,
      atEnd: end === source.length,
      opens: leftFlanking && (!word || !rightFlanking || PUNCTUATION.test(before)),
      closes: rightFlanking && (!word || !leftFlanking || PUNCTUATION.test(after)),
    },
    length,
  );
}

// Matches openers with closers, inside out, as CommonMark describes it.
function resolveDelimiters(pieces, partial) {
  const out = [];
  for (const piece of pieces) {
    if (piece.type === "run" && piece.closes) closeRun(out, piece);
    if (piece.type !== "run") out.push(piece);
    else if (piece.length > 0) out.push(piece);
  }
  if (partial) closeOpenRuns(out);
  return flatten(out);
}

function closeRun(out, closer) {
  while (closer.length > 0) {
    const index = openerIndex(out, closer);
    if (index < 0) return;
    const opener = out[index];
    const size = closer.length >= 2 && opener.length >= 2 ? 2 : 1;
    if (!wrap(out, index, size)) return;
    opener.length -= size;
    closer.length -= size;
    if (opener.length === 0) out.splice(index, 1);
  }
}

function openerIndex(out, closer) {
  for (let index = out.length - 1; index >= 0; index -= 1) {
    const piece = out[index];
    if (piece.type !== "run" || piece.character !== closer.character || !piece.opens) continue;
    const clash =
      (piece.closes || closer.opens) &&
      (piece.original + closer.original) % 3 === 0 &&
      (piece.original % 3 !== 0 || closer.original % 3 !== 0);
    if (!clash) return index;
  }
  return -1;
}

// Puts what follows an opener into an element; says whether that was possible.
function wrap(out, openerAt, size) {
  const { character } = out[openerAt];
  const depth = 1 + out.slice(openerAt + 1).reduce((most, piece) => Math.max(most, piece.depth ?? 0), 0);
  if (depth > MAX_DEPTH) return false;
  const type = character === "~" ? "del" : size === 2 ? "strong" : "em";
  const children = flatten(out.splice(openerAt + 1));
  out.push({ type, depth, children });
  return true;
}

function closeOpenRuns(out) {
  if (out.at(-1)?.type === "run" && out.at(-1).atEnd) out.pop();
  for (let index = out.length - 1; index >= 0; index -= 1) {
    const piece = out[index];
    if (piece.type !== "run" || !piece.opens || index === out.length - 1) continue;
    while (piece.length > 0) {
      const size = piece.length >= 2 ? 2 : 1;
      if (!wrap(out, index, size)) return;
      piece.length -= size;
    }
    out.splice(index, 1);
  }
}

// Runs that found no partner are text after all.
function flatten(pieces) {
  const nodes = [];
  for (const piece of pieces) {
    const node = piece.type === "run" ? { type: "text", text: piece.character.repeat(piece.length) } : piece;
    const last = nodes.at(-1);
    if (node.type === "text" && last?.type === "text") last.text += node.text;
    else if (node.type !== "text" || node.text !== "") nodes.push({ ...node });
  }
  return nodes;
}
