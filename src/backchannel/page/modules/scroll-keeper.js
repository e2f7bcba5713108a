// Keeps the reader's place: at the end while they are at the end, where they are otherwise.

const AT_END = 24;
const NEAR_START = 300;
const FAR_FROM_END = 160;
const MARGIN = 24;

export class ScrollKeeper {
  #scroller;
  #jump;
  #following = true;
  #lastTop = 0;
  #loadOlder;

  /** `jump` is the button that leads back to the end; `loadOlder` is called near the start. */
  constructor(scroller, content, jump, loadOlder) {
    this.#scroller = scroller;
    this.#jump = jump;
    this.#loadOlder = loadOlder;
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    const observer = new ResizeObserver(() => this.#resized());
    observer.observe(scroller);
    observer.observe(content);
  }

  /** From now on stays at the end, until the reader scrolls up. */
  follow() {
    this.#following = true;
    this.#jump.hidden = true;
  }

  toBottom(smooth) {
    this.#scroller.scrollTo({ top: this.#scroller.scrollHeight, behavior: smooth ? "smooth" : "instant" });
    this.#lastTop = this.#scroller.scrollTop;
  }

  /** Puts an element in the middle, or the beginning of one that is too tall, and stays there. */
  show(element) {
    const room = this.#scroller.getBoundingClientRect();
    const { top, height } = element.getBoundingClientRect();
    this.#scroller.scrollTop += top - room.top - Math.max(MARGIN, (room.height - height) / 2);
    this.#lastTop = this.#scroller.scrollTop;
    this.#following = this.#distance <= AT_END;
  }

  /** Lets `change` alter the list; what is put before its first child does not move the rest. */
  keepWhile(list, change) {
    const anchor = list.firstElementChild;
    const before = anchor?.getBoundingClientRect().top ?? 0;
    change();
    if (this.#following) this.toBottom(false);
    else if (anchor?.isConnected && list.firstElementChild !== anchor) {
      this.#scroller.scrollTop += anchor.getBoundingClientRect().top - before;
      this.#lastTop = this.#scroller.scrollTop;
    }
  }

  /** Loads older items when there are some but nothing to scroll yet. */
  loadIfShort(hasOlder) {
    if (hasOlder && this.#scroller.scrollHeight <= this.#scroller.clientHeight + NEAR_START) this.#loadOlder();
  }

  get #distance() {
    return this.#scroller.scrollHeight - this.#scroller.scrollTop - this.#scroller.clientHeight;
  }

  #scrolled() {
    const { scrollTop } = this.#scroller;
    // Content that shrinks moves the position up as well, but only to its end.
    const movedUp = scrollTop < this.#lastTop && this.#distance > 1;
    // Only the direction counts on the way up: a slow finger or a trackpad moves a few pixels a frame, and an end
    // that is near would pull the reader back with every word of an answer.
    if (movedUp) this.#following = false;
    else if (scrollTop >= this.#lastTop && this.#distance <= AT_END) this.#following = true;
    this.#lastTop = scrollTop;
    this.#jump.hidden = this.#following || this.#distance < FAR_FROM_END;
    if (movedUp && scrollTop < NEAR_START) this.#loadOlder();
  }

  #resized() {
    if (this.#following) this.toBottom(false);
    else this.#jump.hidden = this.#distance < FAR_FROM_END;
  }
}
