// The page's icons: strokes on a 20 by 20 grid, in the colour of the text around them.

const NAMESPACE = "http://www.w3.org/2000/svg";

const PATHS = {
  plus: "M10 4.5v11M4.5 10h11",
  menu: "M3.5 6h13M3.5 10h13M3.5 14h8",
  close: "M5.5 5.5l9 9M14.5 5.5l-9 9",
  send: "M10 15.8V4.5M5.2 9.2L10 4.4l4.8 4.8",
  copy: "M7.5 7.5h7a1.5 1.5 0 0 1 1.5 1.5v6a1.5 1.5 0 0 1-1.5 1.5h-6A1.5 1.5 0 0 1 7 15V8.5a1 1 0 0 1 .5-1zM4.5 12.5A1.5 1.5 0 0 1 3.5 11V5A1.5 1.5 0 0 1 5 3.5h6a1.5 1.5 0 0 1 1.5 1",
  check: "M4.5 10.6l3.6 3.6 7.4-8",
  up: "M6.7 9.2v7.3M3.5 9.7h3.2l3-6.2c1.3 0 2.1.9 2.1 2.2v2.8h3.3c1.1 0 1.9 1 1.6 2.1l-1.1 4.5c-.2.8-.9 1.4-1.7 1.4H3.5z",
  down: "M13.3 10.8V3.5M16.5 10.3h-3.2l-3 6.2c-1.3 0-2.1-.9-2.1-2.2v-2.8H4.9c-1.1 0-1.9-1-1.6-2.1l1.1-4.5c.2-.8.9-1.4 1.7-1.4h10.4z",
  refresh: "M15.9 8.3A6.3 6.3 0 0 0 4.6 7M4.1 11.7A6.3 6.3 0 0 0 15.4 13M4.3 3.8V7.2h3.4M15.7 16.2v-3.4h-3.4",
  dots: "M5 10h.01M10 10h.01M15 10h.01",
  pencil: "M4 16l.7-3.3 8.4-8.4a1.6 1.6 0 0 1 2.3 0l.3.3a1.6 1.6 0 0 1 0 2.3L7.3 15.3zM11.8 5.7l2.5 2.5",
  trash: "M4 6h12M8 6V4.5A1 1 0 0 1 9 3.5h2a1 1 0 0 1 1 1V6M5.5 6l.7 9a1.5 1.5 0 0 0 1.5 1.5h4.6a1.5 1.5 0 0 0 1.5-1.5l.7-9M8.5 9v4.5M11.5 9v4.5",
  sun: "M10 6.8a3.2 3.2 0 1 1 0 6.4 3.2 3.2 0 0 1 0-6.4zM10 2.5v1.3M10 16.2v1.3M2.5 10h1.3M16.2 10h1.3M4.7 4.7l.9.9M14.4 14.4l.9.9M15.3 4.7l-.9.9M5.6 14.4l-.9.9",
  moon: "M16.3 11.9A6.7 6.7 0 0 1 8.1 3.7a6.7 6.7 0 1 0 8.2 8.2z",
  "chevron-down": "M5.5 8l4.5 4.5L14.5 8",
  "chevron-right": "M8 5.5l4.5 4.5L8 14.5",
  "arrow-right": "M4.2 10h11.4M10.6 5.2l5 4.8-5 4.8",
  "arrow-down": "M10 4.2v11.4M5.2 10.8L10 15.6l4.8-4.8",
  handoff: "M3.5 6.5h5A3.5 3.5 0 0 1 12 10v0a3.5 3.5 0 0 0 3.5 3.5h1M14 11l2.5 2.5L14 16",
  tool: "M12.3 3.8a4 4 0 0 0-3.5 5.6l-5 5a1.3 1.3 0 0 0 0 1.8 1.3 1.3 0 0 0 1.8 0l5-5a4 4 0 0 0 5.4-4.7l-2.3 2.3-2-.4-.4-2 2.3-2.3a4 4 0 0 0-1.3-.3z",
  search: "M9 3.8a5.2 5.2 0 1 1 0 10.4A5.2 5.2 0 0 1 9 3.8zM12.8 12.8l3.7 3.7",
  clock: "M10 3a7 7 0 1 1 0 14 7 7 0 0 1 0-14zM10 6.2V10l2.6 1.6",
  attach: "M15.8 9.3l-5.9 5.9a3.6 3.6 0 0 1-5.1-5.1l6.2-6.2a2.4 2.4 0 0 1 3.4 3.4l-6.2 6.2a1.2 1.2 0 0 1-1.7-1.7l5.5-5.5",
  picture: "M4.5 4.5h11a1 1 0 0 1 1 1v9a1 1 0 0 1-1 1h-11a1 1 0 0 1-1-1v-9a1 1 0 0 1 1-1zM3.8 14.6l3.9-4.1 2.8 2.8 2.2-2 3.6 3.3M12.8 7.6h.01",
  download: "M10 3.8v8.4M6.4 8.8L10 12.4l3.6-3.6M4.2 15.8h11.6",
  question: "M10 3a7 7 0 1 1 0 14 7 7 0 0 1 0-14zM7.9 8a2.1 2.1 0 1 1 3.1 1.9c-.6.3-1 .8-1 1.5M10 13.7h.01",
  info: "M10 3a7 7 0 1 1 0 14 7 7 0 0 1 0-14zM10 9.3v4.2M10 6.6h.01",
  failed: "M10 3a7 7 0 1 1 0 14 7 7 0 0 1 0-14zM7.6 7.6l4.8 4.8M12.4 7.6l-4.8 4.8",
  unfinished: "M10 3a7 7 0 1 1 0 14 7 7 0 0 1 0-14zM6.8 10h6.4",
  cut: "M3.5 10h3M8.5 10h3M13.5 10h3",
  alert: "M9.1 4.1a1 1 0 0 1 1.8 0l6 10.9a1 1 0 0 1-.9 1.5H4a1 1 0 0 1-.9-1.5zM10 8v3.6M10 13.9h.01",
  calendar: "M4.5 5h11A1 1 0 0 1 16.5 6v9.5a1 1 0 0 1-1 1h-11a1 1 0 0 1-1-1V6a1 1 0 0 1 1-1zM3.5 8.5h13M7 3.5V6.5M13 3.5V6.5",
  document: "M6 3.5h5.5L15 7v8.5a1 1 0 0 1-1 1H6a1 1 0 0 1-1-1v-11a1 1 0 0 1 1-1zM11.5 3.5V7H15M7.8 10.5h4.4M7.8 13.3h4.4",
  bulb: "M8 14.5h4M8.5 17h3M10 3a4.8 4.8 0 0 0-2.9 8.6c.6.5.9 1.1.9 1.9v1h4v-1c0-.8.3-1.4.9-1.9A4.8 4.8 0 0 0 10 3z",
  lock: "M5.5 9h9a1 1 0 0 1 1 1v5.5a1 1 0 0 1-1 1h-9a1 1 0 0 1-1-1V10a1 1 0 0 1 1-1zM7 9V6.5a3 3 0 0 1 6 0V9",
  unplugged: "M3.5 3.5l13 13M6.5 12.3a5 5 0 0 1 3-1.4M3.9 9.4A8.8 8.8 0 0 1 7 7.5M10 7a8.8 8.8 0 0 1 6.1 2.4M10 15h.01M13.5 12.3l-.6-.5",
  user: "M10 3.8a3 3 0 1 1 0 6 3 3 0 0 1 0-6zM4.2 16.2a5.8 5.8 0 0 1 11.6 0",
  exit: "M8 4.5H5a1 1 0 0 0-1 1v9a1 1 0 0 0 1 1h3M12.5 6.5L16 10l-3.5 3.5M16 10H8",
  dot: "M10 8.2a1.8 1.8 0 1 1 0 3.6 1.8 1.8 0 0 1 0-3.6z",
};

// The names that an agent may give to a task, as far as this page has a picture for them.
const TASK_ICONS = {
  agent: "handoff", "chevron-right": "handoff", compass: "handoff", user: "handoff",
  bolt: "tool", "settings-slider": "tool", cube: "tool", "square-code": "tool", keys: "tool", desktop: "tool",
  search: "search", globe: "search",
  "circle-question": "question", lifesaver: "question", info: "info",
  calendar: "calendar", clock: "calendar", "book-clock": "calendar",
  document: "document", notebook: "document", "square-text": "document", "page-blank": "document",
  "book-open": "document", "book-closed": "document",
  write: "pencil", "write-alt": "pencil", "write-alt2": "pencil", "notebook-pencil": "pencil",
  check: "check", "check-circle": "check", "check-circle-filled": "check",
  plus: "plus", reload: "refresh",
  lightbulb: "bulb", sparkle: "bulb", "sparkle-double": "bulb", atom: "bulb",
};

/** A decorative icon; the name must be one of this module's. */
export function icon(name) {
  const svg = document.createElementNS(NAMESPACE, "svg");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("class", `icon icon-${name}`);
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(NAMESPACE, "path");
  path.setAttribute("d", PATHS[name] ?? PATHS.dot);
  svg.append(path);
  return svg;
}

/** The solid square of the stop button. */
export function stopIcon() {
  const svg = icon("dot");
  svg.setAttribute("class", "icon icon-stop");
  svg.firstChild.setAttribute("d", "M6.5 5.5h7a1 1 0 0 1 1 1v7a1 1 0 0 1-1 1h-7a1 1 0 0 1-1-1v-7a1 1 0 0 1 1-1z");
  return svg;
}

/** The icon for a task of a workflow, from the name the agent gave, or null where none fits. */
export function taskIcon(name) {
  const known = TASK_ICONS[String(name ?? "").replace(/^lucide:/, "")];
  return known ? icon(known) : null;
}

/** The product's mark. */
export function brandMark() {
  const svg = document.createElementNS(NAMESPACE, "svg");
  svg.setAttribute("viewBox", "0 0 32 32");
  svg.setAttribute("class", "brand-mark");
  svg.setAttribute("aria-hidden", "true");
  const bubble = document.createElementNS(NAMESPACE, "path");
  bubble.setAttribute("class", "brand-bubble");
  bubble.setAttribute("d", "M10 3h12a7 7 0 0 1 7 7v8a7 7 0 0 1-7 7h-7l-6.3 4.4A1.1 1.1 0 0 1 7 28.5V24.6A7 7 0 0 1 3 18v-8a7 7 0 0 1 7-7z");
  const lines = document.createElementNS(NAMESPACE, "path");
  lines.setAttribute("class", "brand-lines");
  lines.setAttribute("d", "M9.5 11.2h8.5M14 17h8.5");
  svg.append(bubble, lines);
  return svg;
}
