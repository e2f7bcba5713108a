// Items without a view of their own: one quiet line each, so that a new kind of item never breaks a page.
import { clientToolState } from "./client-tools.js";
import { el } from "./dom.js";

export class BcQuietItem extends HTMLElement {
  update(entry) {
    const { item } = entry;
    const draw = Object.hasOwn(LINES, item.type) ? LINES[item.type] : unknown;
    this.replaceChildren(draw(item));
  }
}

const LINES = {
  client_tool_call: (item) => line(toolLine(item)),
};

function unknown(item) {
  return line(`Something this page cannot show yet (${String(item.type)}).`);
}

function line(text) {
  return el("p", { class: "quiet-line" }, text);
}

function toolLine(item) {
  if (item.status === "completed") return `“${item.name}” ran in this page.`;
  return clientToolState(item.id) === "unhandled"
    ? `The assistant asked for “${item.name}”, which this page does not offer.`
    : `Waiting for “${item.name}”…`;
}

customElements.define("bc-quiet-item", BcQuietItem);
