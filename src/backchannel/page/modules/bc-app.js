// The page: chats at the side, the open conversation, and the box to write in.
import "./bc-account.js";
import "./bc-budget.js";
import "./bc-composer.js";
import "./bc-search.js";
import "./bc-thread-list.js";
import { announcerRegion } from "./announcer.js";
import { isBlank } from "./bc-conversation.js";
import { el, isComposing, metaContent, prefersLessMotion, setAttribute } from "./dom.js";
import { DropZone } from "./file-intake.js";
import { brandMark, icon } from "./icons.js";
import { Session } from "./session.js";
import { currentTheme, onSystemThemeChange, toggleTheme } from "./theme.js";
import { threadTitle } from "./threads.js";

const NAME = "Backchannel";
const MAX_SUGGESTIONS = 6;
const narrow = matchMedia("(max-width: 760px)");

const NO_COOKIES =
  "Your browser keeps no cookies for this page, so it will not find your chats again. Allow cookies for it, or open it " +
  "in a tab of its own.";

class BcApp extends HTMLElement {
  #session = new Session();
  #parts = {};
  #onChange = () => this.#refresh();
  #shown = null;
  // The result of a search that is being opened: {threadId, itemId}.
  #searchHit = null;

  connectedCallback() {
    this.#build();
    this.#bindKeys();
    const { list, search, composer } = this.#parts;
    list.session = this.#session;
    search.session = this.#session;
    composer.uploads = this.#session.uploads;
    this.#buildDropZone();
    this.#session.addEventListener("open", () => this.#open());
    this.#session.addEventListener("health", () => this.#showModel());
    this.#session.addEventListener("introduced", () => this.#showConnectivity());
    this.#session.threads.addEventListener("change", this.#onChange);
    this.#session.search.addEventListener("change", () => {
      list.covered = this.#session.search.active;
    });
    this.#session.connectivity.addEventListener("change", () => this.#showConnectivity());
    narrow.addEventListener("change", () => this.#setDrawer(false));
    this.#setDrawer(false);
    this.#showTheme();
    this.#showConnectivity();
    onSystemThemeChange(() => this.#showTheme());
    this.#session.begin();
    this.#parts.budget.session = this.#session;
  }

  #build() {
    const conversation = el("bc-conversation");
    const composer = el("bc-composer");
    const list = el("bc-thread-list");
    const search = el("bc-search");
    const banner = el("div", { class: "banner-slot", role: "status" });
    const budget = el("bc-budget", { class: "budget-slot", role: "status" });
    this.#parts = { conversation, composer, list, search, banner, budget };
    const sidebar = this.#buildSidebar(search, list);
    const suggestions = this.#buildSuggestions();
    const dock = el("div", { class: "dock" }, banner, budget, composer, suggestions);
    const main = el("main", { class: "main" }, this.#buildTopBar(), conversation, dock);
    const backdrop = el("div", { class: "backdrop", onclick: () => this.#setDrawer(false) });
    const skip = el("a", { class: "skip-link", href: "#message" }, "Skip to the message box");
    skip.addEventListener("click", (event) => {
      // The address after # is the open chat; the link must not change it.
      event.preventDefault();
      composer.focusInput();
    });
    Object.assign(this.#parts, { main, backdrop, sidebar });
    this.append(skip, el("div", { class: "app" }, sidebar, backdrop, main), announcerRegion());
    composer.addEventListener("message-sent", () => conversation.scrollToLatest());
    conversation.addEventListener("focus-lost", () => composer.focusInput());
    list.addEventListener("thread-deleted", () => this.#focusElsewhere());
    list.addEventListener("click", (event) => {
      if (event.target.closest(".thread-link")) this.#setDrawer(false);
    });
    this.#listenToSearch(search);
  }

  #listenToSearch(search) {
    search.addEventListener("hit-chosen", ({ detail }) => {
      this.#searchHit = detail;
      this.#setDrawer(false);
      // Any other thread is opened by the link, later than this.
      if (this.#session.conversation?.id === detail.threadId) this.#revealSearchHit();
    });
    search.addEventListener("search-left", () => {
      if (narrow.matches) this.#setDrawer(false);
      else this.#parts.composer.focusInput();
    });
    search.addEventListener("search-gone", () => this.#focusElsewhere());
  }

  #buildSidebar(search, list) {
    const close = el(
      "button",
      { type: "button", class: "icon-button drawer-close", "aria-label": "Close chats" },
      icon("close"),
    );
    close.addEventListener("click", () => this.#setDrawer(false));
    const theme = el("button", { type: "button", class: "quiet-button theme-button" });
    theme.addEventListener("click", () => {
      toggleTheme();
      this.#showTheme();
    });
    const account = el("bc-account");
    account.session = this.#session;
    Object.assign(this.#parts, { close, theme });
    return el(
      "nav",
      { class: "sidebar", id: "sidebar", "aria-label": "Chats" },
      el("div", { class: "sidebar-head" }, el("span", { class: "brand" }, brandMark(), NAME), close),
      this.#newChatButton("new-chat", true),
      search,
      list,
      el("div", { class: "sidebar-foot" }, account, theme),
    );
  }

  #newChatButton(kind, labelled) {
    const title = "New chat (Ctrl+Shift+O)";
    const attributes = { type: "button", class: labelled ? kind : `icon-button ${kind}`, title };
    if (!labelled) attributes["aria-label"] = "New chat";
    const button = el("button", attributes, icon("plus"), labelled ? el("span", {}, "New chat") : null);
    button.addEventListener("click", () => this.#newChat());
    return button;
  }

  #buildTopBar() {
    const menu = el(
      "button",
      { type: "button", class: "icon-button drawer-open", "aria-label": "Open chats", "aria-controls": "sidebar" },
      icon("menu"),
    );
    menu.addEventListener("click", () => this.#setDrawer(true));
    const title = el("h1", { class: "page-title" }, NAME);
    const model = el("span", { class: "model-slot" });
    Object.assign(this.#parts, { menu, title, model });
    return el("header", { class: "topbar" }, menu, title, model, this.#newChatButton("new-chat-small", false));
  }

  #buildDropZone() {
    const { main, composer } = this.#parts;
    new DropZone(main, {
      canTake: () => composer.canAttach,
      limits: () => this.#session.uploads.limits.current,
      take: ({ files, folders }) => composer.addFiles(files, { folders }),
      picture: icon("attach"),
    });
  }

  #buildSuggestions() {
    const chips = suggestionTexts().map((text) => {
      const chip = el("button", { type: "button", class: "chip" }, text);
      chip.addEventListener("click", () => {
        this.#parts.composer.sendText(text);
        this.#parts.composer.focusInput();
      });
      return chip;
    });
    const hidden = chips.length === 0;
    return el("div", { class: "suggestions", role: "group", "aria-label": "Suggestions", hidden }, chips);
  }

  #open() {
    const { conversation } = this.#session;
    if (conversation !== this.#shown) {
      this.#shown?.removeEventListener("change", this.#onChange);
      this.#shown = conversation;
      conversation.addEventListener("change", this.#onChange);
      this.#parts.conversation.conversation = conversation;
      this.#parts.composer.conversation = conversation;
    }
    this.#setDrawer(false);
    this.#refresh(false);
    this.#revealSearchHit();
    if (!narrow.matches) this.#parts.composer.focusInput();
  }

  #revealSearchHit() {
    const hit = this.#searchHit;
    this.#searchHit = null;
    if (hit?.itemId && hit.threadId === this.#session.conversation.id) {
      this.#parts.conversation.reveal(hit.itemId);
    }
  }

  #refresh(animate = true) {
    const conversation = this.#session.conversation;
    if (!conversation) return;
    this.#parts.budget.running = conversation.running;
    const blank = conversation.phase === "ready" && isBlank(conversation);
    const { main, title, composer } = this.#parts;
    const text = this.#title(conversation);
    if (title.textContent !== text) title.textContent = text;
    document.title = text && conversation.id ? `${text} · ${NAME}` : NAME;
    composer.hidden = conversation.phase === "missing" || conversation.phase === "failed";
    if (main.hasAttribute("data-blank") !== blank) this.#settleDock(blank, animate === true || animate instanceof Event);
  }

  #title({ id, thread, phase }) {
    if (phase === "missing" || phase === "failed") return "";
    const known = (id && this.#session.threads.get(id)) ?? thread;
    return known || !id ? threadTitle(known) : "";
  }

  // The box moves from the middle of the empty page to its foot, animated.
  #settleDock(blank, animate) {
    const { main, composer } = this.#parts;
    const before = composer.getBoundingClientRect().top;
    main.toggleAttribute("data-blank", blank);
    if (blank || !animate || prefersLessMotion()) return;
    const distance = before - composer.getBoundingClientRect().top;
    if (Math.abs(distance) < 2) return;
    composer.animate([{ transform: `translateY(${distance}px)` }, { transform: "none" }], {
      duration: 320,
      easing: "cubic-bezier(0.22, 0.8, 0.3, 1)",
    });
  }

  #newChat() {
    // The list shows the new chat; search results would hide it.
    this.#parts.search.clear();
    this.#session.newChat();
    this.#setDrawer(false);
    this.#parts.composer.focusInput();
  }

  #setDrawer(open) {
    const { sidebar, backdrop, main, menu, close } = this.#parts;
    const drawer = narrow.matches;
    const wasOpen = this.hasAttribute("data-drawer");
    this.toggleAttribute("data-drawer", drawer && open);
    backdrop.hidden = !(drawer && open);
    sidebar.inert = drawer && !open;
    main.inert = drawer && open;
    setAttribute(menu, "aria-expanded", String(drawer && open));
    if (drawer && open) close.focus();
    else if (drawer && wasOpen) menu.focus();
  }

  #startSearch() {
    this.#setDrawer(true);
    this.#parts.search.focusInput();
  }

  // After the focused element was removed.
  #focusElsewhere() {
    if (narrow.matches) this.#parts.close.focus();
    else this.#parts.composer.focusInput();
  }

  #bindKeys() {
    document.addEventListener("keydown", (event) => {
      if (event.defaultPrevented || isComposing(event)) return;
      if (event.key === "Escape") this.#escape(event);
      else if (!document.querySelector("dialog[open]")) this.#shortcut(event);
    });
  }

  #shortcut(event) {
    const control = (event.ctrlKey || event.metaKey) && !event.altKey;
    const key = event.key.toLowerCase();
    if (control && !event.shiftKey && key === "k" && this.#parts.search.available) this.#startSearch();
    else if (control && event.shiftKey && key === "o") this.#newChat();
    else if (key === "/" && !isEditable(event.target)) {
      this.#setDrawer(false);
      this.#parts.composer.focusInput();
    } else return;
    event.preventDefault();
  }

  #escape(event) {
    // The browser itself closes an open menu or dialog.
    if (document.querySelector("dialog[open], :popover-open")) return;
    if (this.hasAttribute("data-drawer")) this.#setDrawer(false);
    else if (this.#session.conversation?.running) this.#session.conversation.stop();
    else return;
    event.preventDefault();
  }

  #showTheme() {
    const dark = currentTheme() === "dark";
    this.#parts.theme.replaceChildren(icon(dark ? "sun" : "moon"), el("span", {}, dark ? "Light theme" : "Dark theme"));
  }

  #showModel() {
    const model = this.#session.health?.model;
    if (!model?.offline) {
      this.#parts.model.replaceChildren();
      return;
    }
    const tip = "A rule-based stand-in answers here, because no model is configured.";
    this.#parts.model.replaceChildren(
      el("button", { type: "button", class: "model-badge", "aria-describedby": "model-tip" }, "Offline model"),
      el("span", { class: "tooltip", role: "tooltip", id: "model-tip" }, tip),
    );
  }

  #showConnectivity() {
    const { state } = this.#session.connectivity;
    const messages = {
      offline: "You are offline. What you write stays here until you are back.",
      unreachable: "The server cannot be reached. Trying again…",
    };
    const text = messages[state] ?? (this.#session.keepsCookies === false ? NO_COOKIES : null);
    const banner = text ? [el("p", { class: "banner" }, icon("unplugged"), el("span", {}, text))] : [];
    this.#parts.banner.replaceChildren(...banner);
  }
}

function isEditable(target) {
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);
}

function suggestionTexts() {
  try {
    const texts = JSON.parse(metaContent("backchannel-suggestions") || "[]");
    const usable = (text) => typeof text === "string" && text.trim() !== "";
    return Array.isArray(texts) ? texts.filter(usable).slice(0, MAX_SUGGESTIONS) : [];
  } catch {
    return [];
  }
}

customElements.define("bc-app", BcApp);
