// Brings a shown widget in line with a newer description of it. Elements that are in both stay, and with them the focus,
// the selection, and input that was not sent.
import { isControl, resetValue } from "./widget-values.js";

/** The actions of elements, as {click, change, submit}: those of the newest description. */
export const actions = new WeakMap();

/**
 * Makes `shown` like `fresh`, which was drawn from the newer description. The controls in `edited` have input that was
 * not sent: they keep it unless their own description changed.
 */
export function patch(shown, fresh, edited) {
  if (!isSame(shown, fresh)) {
    shown.replaceWith(fresh);
    return;
  }
  if (shown.nodeType !== Node.ELEMENT_NODE) {
    if (shown.data !== fresh.data) shown.data = fresh.data;
    return;
  }
  // Rendered markdown has buttons with listeners of their own.
  if (shown.classList.contains("md")) {
    if (!shown.isEqualNode(fresh)) shown.replaceWith(fresh);
    return;
  }
  actions.set(shown, actions.get(fresh) ?? {});
  // The text of a text area and the options of a list are their description.
  const otherContent = isControl(shown) && !haveEqualChildren(shown, fresh);
  const otherAttributes = patchAttributes(shown, fresh);
  patchChildren(shown, fresh, edited);
  if (!isControl(shown) || (edited.has(shown) && !otherContent && !otherAttributes)) return;
  resetValue(shown);
  edited.delete(shown);
}

function isSame(shown, fresh) {
  return shown.nodeName === fresh.nodeName && shown.dataset?.key === fresh.dataset?.key && shown.type === fresh.type;
}

function haveEqualChildren(one, other) {
  const [some, others] = [[...one.childNodes], [...other.childNodes]];
  return some.length === others.length && some.every((node, index) => node.isEqualNode(others[index]));
}

// Whether there was anything to change. `disabled` also depends on the conversation.
function patchAttributes(shown, fresh) {
  let changed = false;
  for (const { name } of [...shown.attributes]) {
    if (name === "disabled" || fresh.hasAttribute(name)) continue;
    shown.removeAttribute(name);
    changed = true;
  }
  for (const { name, value } of fresh.attributes) {
    if (name === "disabled" || shown.getAttribute(name) === value) continue;
    shown.setAttribute(name, value);
    changed = true;
  }
  return changed;
}

function patchChildren(shown, fresh, edited) {
  const partners = findPartners([...shown.childNodes], [...fresh.childNodes]);
  const staying = new Set(partners.values());
  for (const child of [...shown.childNodes]) if (!staying.has(child)) child.remove();
  // Nodes that are in their place are not moved, because that would take the focus away.
  let place = shown.firstChild;
  for (const child of [...fresh.childNodes]) {
    const partner = partners.get(child);
    if (partner !== undefined && partner === place) place = place.nextSibling;
    else shown.insertBefore(partner ?? child, place);
    if (partner) patch(partner, child, edited);
  }
}

// Which shown node becomes which fresh one. First those with the same controls in them, then the others in their order.
function findPartners(shown, fresh) {
  const partners = new Map();
  const free = new Set(shown);
  const pair = (child, fits) => {
    const partner = [...free].find((other) => isSame(other, child) && fits(other));
    if (!partner) return;
    partners.set(child, partner);
    free.delete(partner);
  };
  for (const child of fresh) {
    const names = namesIn(child);
    if (names.length > 0) pair(child, (other) => namesIn(other).some((name) => names.includes(name)));
  }
  for (const child of fresh) if (!partners.has(child)) pair(child, (other) => namesIn(other).length === 0);
  return partners;
}

function namesIn(node) {
  if (node.nodeType !== Node.ELEMENT_NODE) return [];
  return [node, ...node.querySelectorAll("[name]")].map((element) => element.getAttribute("name")).filter(Boolean);
}
