// Building DOM nodes: text only ever enters the page as text nodes.

/**
 * Creates an element. Attributes whose value is null, undefined or false are left out, true sets an
 * empty attribute, and a function under "onclick", "oninput" … becomes a listener.
 */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  const given = children.flat(Infinity);
  element.append(...given.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Sets or removes an attribute: null, undefined and false remove it. */
export function setAttribute(element, name, value) {
  if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value === true ? "" : value)) {
    element.setAttribute(name, value === true ? "" : String(value));
  }
}

/** Whether a key belongs to an input method, which is composing a word, and must do nothing else. */
export function isComposing(event) {
  // Safari ends a composition before the key that ends it; the key's code 229 is left.
  return event.isComposing || event.keyCode === 229;
}

/** The content of a meta element of the page, or "" where there is none. */
export function metaContent(name) {
  return document.head.querySelector(`meta[name="${name}"]`)?.content ?? "";
}

/** The address itself where it is safe to follow (http, https, mailto), else null. */
export function safeHref(address) {
  try {
    const url = new URL(address);
    return ["http:", "https:", "mailto:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

/** A link that opens elsewhere, or null when the address is not safe to follow. */
export function externalLink(address, attributes, ...children) {
  const href = safeHref(address);
  if (href === null) return null;
  return el("a", { ...attributes, href, target: "_blank", rel: "noopener noreferrer" }, ...children);
}

/** Whether the reader asked for less motion. */
export function prefersLessMotion() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}

/** Puts text on the clipboard; says whether that worked. */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

// The clipboard API exists only on secure origins; a plain http address in a local network is not one.
function copyBySelection(text) {
  const area = el("textarea", { class: "visually-hidden", "aria-hidden": "true", readonly: true });
  area.value = text;
  const focused = document.activeElement;
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  focused?.focus?.();
  return copied;
}
