// The files of a message: pictures as thumbnails, others as cards. Each is a link to the file.
import { serverAddress } from "./api.js";
import { el } from "./dom.js";
import { kindLabel, shownName, splitName } from "./file-text.js";
import { icon } from "./icons.js";

/** The list of a message's attachments. */
export function messageFiles(attachments) {
  const items = attachments.map((attachment) => el("li", {}, fileLink(attachment)));
  return el("ul", { class: "message-files", "aria-label": "Attachments" }, items);
}

/** A name whose middle is left out where there is no room; all of it is read out, and shown by the mouse. */
export function nameElement(name) {
  const [head, tail] = splitName(name);
  const parts = [el("span", { class: "file-head" }, head), tail ? el("span", { class: "file-tail" }, tail) : null];
  // The writing direction is that of the name, so that its end stays at its end.
  return el("span", { class: "file-name", title: name, dir: "auto" }, parts);
}

/** The icon of a file of a type. */
export function fileIcon(mimeType) {
  return icon(mimeType?.startsWith("image/") ? "picture" : "document");
}

function fileLink(attachment) {
  const preview = previewAddress(attachment.preview_url);
  return preview === null ? fileCard(attachment) : picture(attachment, preview);
}

// Not the signed link of the message, which ends: by this address the server makes a new one.
function fileAddress({ id }, form = "") {
  return serverAddress(`api/chatkit/attachments/${encodeURIComponent(id)}${form && `?form=${form}`}`).href;
}

function fileCard(attachment) {
  const name = shownName(attachment.name ?? "file");
  const isPicture = attachment.type === "image" || attachment.mime_type?.startsWith("image/");
  return el(
    "a",
    {
      class: "file-card",
      href: fileAddress(attachment),
      ...(isPicture ? { target: "_blank", rel: "noopener" } : { download: name }),
      "aria-label": isPicture ? name : `Download ${name}`,
    },
    el("span", { class: "file-tile" }, fileIcon(attachment.mime_type)),
    el(
      "span",
      { class: "file-text" },
      nameElement(name),
      el("span", { class: "file-meta" }, kindLabel(name, attachment.mime_type)),
    ),
    isPicture ? null : icon("download"),
  );
}

function picture(attachment, preview) {
  const name = shownName(attachment.name ?? "picture");
  const image = el("img", { src: preview, alt: name, loading: "lazy", decoding: "async", draggable: "false" });
  const link = el(
    "a",
    { class: "file-picture", href: fileAddress(attachment), target: "_blank", rel: "noopener", title: name },
    image,
  );
  const replace = () => link.replaceWith(fileCard(attachment));
  // The link of the preview may have ended.
  const askAgain = () => {
    image.addEventListener("error", replace, { once: true });
    image.src = fileAddress(attachment, "preview");
  };
  image.addEventListener("error", askAgain, { once: true });
  return link;
}

function previewAddress(address) {
  try {
    const url = new URL(address, document.baseURI);
    return ["http:", "https:"].includes(url.protocol) && address ? url.href : null;
  } catch {
    return null;
  }
}
