// An image that a model makes: first its previews, then the image.
import { el, externalLink, setAttribute } from "./dom.js";

const MAKING = "Making an image…";

export class BcGeneratedImage extends HTMLElement {
  #image = null;

  update({ item, live }) {
    const address = item.image?.url ?? "";
    setAttribute(this, "aria-busy", live ? "true" : null);
    if (isShowable(address)) {
      this.#show(address, live);
      return;
    }
    this.#image = null;
    const link = externalLink(address, {}, "Open the image");
    this.replaceChildren(el("p", { class: "quiet-line" }, link ?? problem(address, live)));
  }

  // In the same element, because a new one would be empty for a moment with each preview.
  #show(address, live) {
    if (!this.#image) {
      this.#image = el("img", {});
      const caption = el("figcaption", { class: "quiet-line" }, MAKING);
      this.replaceChildren(el("figure", { class: "generated-image" }, this.#image, caption));
    }
    this.#image.alt = live ? "Preview of an image" : "Image made by the assistant";
    if (this.#image.getAttribute("src") !== address) this.#image.src = address;
    this.querySelector("figcaption").hidden = !live;
  }
}

function problem(address, live) {
  if (address !== "") return "An image this page cannot show.";
  return live ? MAKING : "This image was not made.";
}

function isShowable(address) {
  if (address === "") return false;
  if (/^data:image\/(png|jpeg|gif|webp);/i.test(address)) return true;
  try {
    return new URL(address, document.baseURI).origin === location.origin;
  } catch {
    return false;
  }
}

customElements.define("bc-generated-image", BcGeneratedImage);
