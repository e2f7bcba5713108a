// Markdown on the page: blocks and inline nodes become DOM nodes, and a growing text changes only its end.
import { announce } from "./announcer.js";
import { copyText, el, externalLink } from "./dom.js";
import { icon } from "./icons.js";
import { parseBlocks } from "./markdown-blocks.js";
import { parseInline } from "./markdown-inline.js";

const COPIED_MS = 1800;

/** Shows a markdown text in a container and keeps it up to date while the text grows. */
export class MarkdownView {
  #container;
  #shown = [];

  constructor(container) {
    this.#container = container;
    container.classList.add("md");
  }

  /** Shows the text; `partial` while more of it is to come. */
  update(text, partial = false) {
    const blocks = parseBlocks(text, { partial });
    blocks.forEach((block, index) => {
      const growing = partial && index === blocks.length - 1;
      const shown = this.#shown[index];
      if (shown && shown.raw === block.raw && shown.growing === growing) return;
      const node = renderBlock(block, growing);
      if (shown) shown.node.replaceWith(node);
      else this.#container.append(node);
      this.#shown[index] = { raw: block.raw, growing, node };
    });
    for (const { node } of this.#shown.splice(blocks.length)) node.remove();
    this.#container.toggleAttribute("data-growing", partial);
  }
}

/** A finished markdown text as a new element. */
export function renderMarkdown(text) {
  const container = el("div");
  new MarkdownView(container).update(text ?? "");
  return container;
}

/** What a markdown text says, without its marks: for reading aloud. */
export function spokenText(text) {
  const container = renderMarkdown(text);
  for (const bar of container.querySelectorAll(".code-bar")) bar.remove();
  for (const block of container.querySelectorAll("p, li, h3, h4, h5, h6, th, td, pre, br")) block.after(" ");
  return container.textContent.replace(/\s+/g, " ").trim();
}

const BLOCKS = {
  paragraph: (block, growing) => el("p", {}, inline(block.text, growing)),
  // Headings of an answer stand below the page's own h1 and h2.
  heading: (block, growing) =>
    el(`h${Math.min(block.level + 2, 6)}`, { class: `md-h${block.level}` }, inline(block.text, growing)),
  code: codeBlock,
  list: listBlock,
  quote: (block, growing) => el("blockquote", {}, renderBlocks(block.blocks, growing)),
  table: tableBlock,
  rule: () => el("hr"),
};

function renderBlock(block, growing) {
  return BLOCKS[block.type](block, growing);
}

function renderBlocks(blocks, growing) {
  return blocks.map((block, index) => renderBlock(block, growing && index === blocks.length - 1));
}

function listBlock(block, growing) {
  const list = el(block.ordered ? "ol" : "ul", {
    start: block.ordered && block.start !== 1 ? block.start : null,
    class: block.loose ? "loose" : null,
  });
  block.items.forEach((item, index) => {
    const open = growing && index === block.items.length - 1;
    const content = item.blocks.flatMap((child, position) => {
      const childOpen = open && position === item.blocks.length - 1;
      const tight = !block.loose && child.type === "paragraph";
      return tight ? inline(child.text, childOpen) : [renderBlock(child, childOpen)];
    });
    const box = item.checked === null ? null : taskBox(item.checked);
    list.append(el("li", { class: box ? "task" : null }, box, content));
  });
  return list;
}

function taskBox(checked) {
  return el("input", { type: "checkbox", disabled: true, checked, "aria-label": checked ? "Done" : "Not done" });
}

function tableBlock(block, growing) {
  const cells = (tag, row, open) =>
    row.map((text, index) =>
      el(
        tag,
        { class: block.align[index] ? `align-${block.align[index]}` : null, scope: tag === "th" ? "col" : null },
        inline(text, open && index === row.length - 1),
      ),
    );
  const rows = block.rows.map((row, index) =>
    el("tr", {}, cells("td", row, growing && index === block.rows.length - 1)),
  );
  const head = el("thead", {}, el("tr", {}, cells("th", block.head, growing && !rows.length)));
  // A wide table scrolls on its own; the keyboard must reach it for that.
  const frame = { class: "table-frame", role: "region", "aria-label": "Table", tabindex: "0" };
  return el("div", frame, el("table", {}, head, el("tbody", {}, rows)));
}

function codeBlock(block) {
  const code = el("code", {}, block.text);
  const attributes = { type: "button", class: "quiet-button code-copy", "aria-label": "Copy code" };
  const copy = el("button", attributes, icon("copy"), el("span", {}, "Copy"));
  copy.addEventListener("click", () => copyWithFeedback(copy, block.text, "Code copied."));
  const bar = el("div", { class: "code-bar" }, el("span", { class: "code-language" }, block.language || "Code"), copy);
  return el("div", { class: "code-block" }, bar, el("pre", { tabindex: "0" }, code));
}

/** Copies, and for a moment shows a check on the button that was pressed. */
export async function copyWithFeedback(button, text, spoken) {
  if (!(await copyText(text))) {
    announce("Copying did not work.");
    return;
  }
  announce(spoken);
  const picture = button.querySelector("svg");
  if (button.dataset.copied !== undefined) return;
  button.dataset.copied = "";
  const check = icon("check");
  picture.replaceWith(check);
  setTimeout(() => {
    check.replaceWith(picture);
    delete button.dataset.copied;
  }, COPIED_MS);
}

function inline(text, growing) {
  return parseInline(text, { partial: growing }).map(renderInline);
}

const INLINE = {
  text: (node) => document.createTextNode(node.text),
  code: (node) => el("code", {}, node.text),
  break: () => el("br"),
  strong: (node) => el("strong", {}, node.children.map(renderInline)),
  em: (node) => el("em", {}, node.children.map(renderInline)),
  del: (node) => el("del", {}, node.children.map(renderInline)),
  link: renderLink,
  // Pictures from elsewhere would tell their host who is reading; a link leaves that to the reader.
  image: (node) => {
    if (/^data:image\/(png|jpeg|gif|webp);/i.test(node.src)) return el("img", { src: node.src, alt: node.alt });
    return renderLink({ ...node, href: node.src, children: [{ type: "text", text: node.alt || node.src }] });
  },
};

function renderInline(node) {
  return INLINE[node.type](node);
}

// Where the address is not safe to follow, the reader sees what was written.
function renderLink(node) {
  return externalLink(node.href, {}, node.children.map(renderInline)) ?? document.createTextNode(node.source);
}
