// Block markdown: text becomes a list of plain blocks. No DOM here.
//
// Blocks: {type: "paragraph", text} | {type: "heading", level, text} | {type: "code", language, text, open}
// | {type: "list", ordered, start, loose, items: [{checked, blocks}]} | {type: "quote", blocks}
// | {type: "table", align, head, rows} | {type: "rule"}. Every block of the top level also has `raw`, its
// source, by which two parses of a growing text can be compared.

const FENCE = /^( {0,3})(`{3,}|~{3,})[ \t]*([^`\n]*)$/;
const HEADING = /^ {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$/;
const RULE = /^ {0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( {0,3})([-*+]|\d{1,9}[.)])(?:([ \t]+)(.*)|)$/;
const UNDERLINE = /^ {0,3}(=+|-{2,})[ \t]*$/;
const DELIMITER_ROW = /^ {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;
const DANGLING = /^(?:[-*+]|\d{1,9}[.)]?|#{1,6}|\||--|={1,2}|`{1,2}|~{1,2}|)$/;
const MAX_DEPTH = 12;

/** Parses markdown. With `partial` the text is still growing: a mark with nothing after it is left out. */
export function parseBlocks(source, { partial = false } = {}) {
  const text = source.replace(/\r\n?/g, "\n").replaceAll("\0", "\ufffd");
  const lines = (partial ? withoutDanglingMark(text) : text).split("\n");
  return blocksOf(lines, { partial, depth: 0 });
}

// "- ", "3.", "##", ">" or "|" alone on the last line say nothing yet and would flicker.
function withoutDanglingMark(text) {
  const start = text.lastIndexOf("\n") + 1;
  const mark = text.slice(start).replace(/^[\s>]+/, "").trim();
  return DANGLING.test(mark) ? text.slice(0, start) : text;
}

function blocksOf(lines, context) {
  const blocks = [];
  let index = 0;
  while (index < lines.length) {
    if (lines[index].trim() === "") {
      index += 1;
      continue;
    }
    const start = index;
    const [block, next] = readBlock(lines, index, context);
    index = next;
    block.raw = lines.slice(start, next).join("\n");
    blocks.push(block);
  }
  return blocks;
}

function readBlock(lines, index, context) {
  const line = lines[index];
  return (
    (FENCE.test(line) && readFence(lines, index)) ||
    (HEADING.test(line) && readHeading(lines, index)) ||
    (RULE.test(line) && [{ type: "rule" }, index + 1]) ||
    (context.depth < MAX_DEPTH && QUOTE.test(line) && readQuote(lines, index, context)) ||
    (context.depth < MAX_DEPTH && ITEM.test(line) && readList(lines, index, context)) ||
    readTable(lines, index, context) ||
    (/^(?: {4}|\t)/.test(line) && readIndentedCode(lines, index)) ||
    readParagraph(lines, index, context)
  );
}

function readFence(lines, index) {
  const [, indent, fence, info] = FENCE.exec(lines[index]);
  const closing = new RegExp(`^ {0,3}${fence[0] === "`" ? "`" : "~"}{${fence.length},}[ \\t]*$`);
  const body = [];
  let next = index + 1;
  while (next < lines.length && !closing.test(lines[next])) {
    body.push(lines[next].replace(new RegExp(`^ {0,${indent.length}}`), ""));
    next += 1;
  }
  const open = next >= lines.length;
  const language = info.trim().split(/\s+/)[0] ?? "";
  return [{ type: "code", language, text: body.join("\n"), open }, open ? next : next + 1];
}

function readHeading(lines, index) {
  const [, marks, text] = HEADING.exec(lines[index]);
  return [{ type: "heading", level: marks.length, text: (text ?? "").trim() }, index + 1];
}

function readIndentedCode(lines, index) {
  const body = [];
  let next = index;
  while (next < lines.length && (/^(?: {4}|\t)/.test(lines[next]) || lines[next].trim() === "")) {
    body.push(lines[next].replace(/^(?: {4}|\t)/, ""));
    next += 1;
  }
  while (body.at(-1)?.trim() === "") {
    body.pop();
    next -= 1;
  }
  return [{ type: "code", language: "", text: body.join("\n"), open: false }, next];
}

function readQuote(lines, index, context) {
  const body = [];
  let next = index;
  while (next < lines.length) {
    const line = lines[next];
    if (QUOTE.test(line)) body.push(line.replace(QUOTE, ""));
    else if (line.trim() === "" || startsBlock(line) || body.at(-1)?.trim() === "") break;
    else body.push(line);
    next += 1;
  }
  return [{ type: "quote", blocks: blocksOf(body, { ...context, depth: context.depth + 1 }) }, next];
}

function readList(lines, index, context) {
  const first = ITEM.exec(lines[index]);
  const ordered = /\d/.test(first[2]);
  const kind = first[2].at(-1);
  const list = { type: "list", ordered, start: ordered ? Number.parseInt(first[2], 10) : 1, loose: false, items: [] };
  let next = index;
  while (next < lines.length) {
    const match = siblingItem(lines[next], kind, ordered);
    if (!match) break;
    const [item, after, blankInside] = readItem(lines, next, match, context);
    list.items.push(item);
    const blankAfter = lines[after - 1]?.trim() === "" && siblingItem(lines[after], kind, ordered) !== null;
    list.loose ||= blankInside || blankAfter;
    next = after;
  }
  // Blank lines behind the list belong to what follows.
  while (next > index + 1 && lines[next - 1].trim() === "") next -= 1;
  return [list, next];
}

function siblingItem(line, kind, ordered) {
  const match = line === undefined || RULE.test(line) ? null : ITEM.exec(line);
  return match && match[2].at(-1) === kind && /\d/.test(match[2]) === ordered ? match : null;
}

function readItem(lines, index, match, context) {
  const [, indent, mark, space, rest] = match;
  const padding = space === undefined || space.length > 4 ? 1 : space.length;
  const content = indent.length + mark.length + padding;
  const body = [space !== undefined && space.length > 4 ? space.slice(1) + rest : (rest ?? "")];
  let next = index + 1;
  let blank = false;
  let blankInside = false;
  while (next < lines.length) {
    const line = lines[next];
    if (line.trim() === "") {
      blank = true;
      body.push("");
      next += 1;
      continue;
    }
    const depth = indentation(line);
    // Writers often indent nested lists by two or three, whatever the width of the number above them.
    const nested = depth >= content || (depth >= 2 && depth > indent.length + 1 && ITEM.test(line.trimStart()));
    if (nested) body.push(dedent(line, Math.min(content, depth)));
    else if (!blank && !startsBlock(line)) body.push(line.trimStart());
    else break;
    if (blank) blankInside = true;
    blank = false;
    next += 1;
  }
  const task = /^\[([ xX])\][ \t]+/.exec(body[0]);
  if (task) body[0] = body[0].slice(task[0].length);
  while (body.length > 1 && body.at(-1) === "") body.pop();
  const blocks = blocksOf(body, { ...context, depth: context.depth + 1 });
  const loose = blankInside && blocks.filter((block) => block.type === "paragraph").length > 1;
  return [{ checked: task ? task[1] !== " " : null, blocks }, next, loose];
}

function indentation(line) {
  let width = 0;
  for (const character of line) {
    if (character === " ") width += 1;
    else if (character === "\t") width += 4 - (width % 4);
    else break;
  }
  return width;
}

function dedent(line, width) {
  let removed = 0;
  let index = 0;
  while (removed < width && index < line.length) {
    if (line[index] === " ") removed += 1;
    else if (line[index] === "\t") removed += 4 - (removed % 4);
    else break;
    index += 1;
  }
  return " ".repeat(Math.max(0, removed - width)) + line.slice(index);
}

function readTable(lines, index, context) {
  const line = lines[index];
  if (!line.includes("|")) return null;
  const delimiters = lines[index + 1];
  if (delimiters === undefined) return openTable(line, index, context);
  const last = context.partial && index + 2 === lines.length;
  if (last && /^[ \t|:-]+$/.test(delimiters) && line.trim().startsWith("|")) {
    return [{ type: "table", align: [], head: cellsOf(line), rows: [] }, index + 2];
  }
  if (!DELIMITER_ROW.test(delimiters) || !delimiters.includes("-")) return null;
  const head = cellsOf(line);
  const align = cellsOf(delimiters).map(alignment);
  if (head.length !== align.length) return null;
  const rows = [];
  let next = index + 2;
  while (next < lines.length && lines[next].trim() !== "" && !startsBlock(lines[next])) {
    const cells = cellsOf(lines[next]).slice(0, head.length);
    while (cells.length < head.length) cells.push("");
    rows.push(cells);
    next += 1;
  }
  return [{ type: "table", align, head, rows }, next];
}

// The first line of a table that is still arriving looks like a table already.
function openTable(line, index, context) {
  if (!context.partial || !/^ {0,3}\|.*\S/.test(line)) return null;
  return [{ type: "table", align: [], head: cellsOf(line), rows: [] }, index + 1];
}

function cellsOf(line) {
  const inner = line.trim().replace(/^\|/, "").replace(/(^|[^\\])\|$/, "$1");
  const cells = [""];
  let inCode = false;
  for (let index = 0; index < inner.length; index += 1) {
    const character = inner[index];
    if (character === "\\" && inner[index + 1] === "|") {
      cells[cells.length - 1] += "|";
      index += 1;
    } else if (character === "|" && !inCode) cells.push("");
    else {
      if (character === "`") inCode = !inCode;
      cells[cells.length - 1] += character;
    }
  }
  return cells.map((cell) => cell.trim());
}

function alignment(cell) {
  const left = cell.startsWith(":");
  const right = cell.endsWith(":");
  return right ? (left ? "center" : "end") : null;
}

function startsBlock(line) {
  if (FENCE.test(line) || HEADING.test(line) || RULE.test(line) || QUOTE.test(line)) return true;
  return startsItem(line);
}

function startsItem(line) {
  return Boolean(ITEM.exec(line)?.[4]);
}

// A number other than 1 that happens to begin a line of prose does not start a list.
function interruptsParagraph(line) {
  return startsBlock(line) && !/^ {0,3}(?!1[.)])\d/.test(line);
}

function readParagraph(lines, index, context) {
  const body = [lines[index].trim()];
  let next = index + 1;
  while (next < lines.length && lines[next].trim() !== "") {
    const underline = UNDERLINE.exec(lines[next]);
    if (underline) {
      const level = underline[1][0] === "=" ? 1 : 2;
      return [{ type: "heading", level, text: body.join("\n") }, next + 1];
    }
    if (interruptsParagraph(lines[next]) || startsTable(lines, next, context)) break;
    body.push(lines[next].trimStart());
    next += 1;
  }
  return [{ type: "paragraph", text: body.join("\n").trimEnd() }, next];
}

function startsTable(lines, index, context) {
  if (!lines[index].includes("|")) return false;
  if (lines[index + 1] === undefined) return context.partial && /^ {0,3}\|/.test(lines[index]);
  return DELIMITER_ROW.test(lines[index + 1]) && lines[index + 1].includes("|");
}
