// Who is logged in here, with the way to their logins and out.
import { el, metaContent } from "./dom.js";
import { icon } from "./icons.js";

/** Empty where nobody logs in, and for those who have not. */
export class BcAccount extends HTMLElement {
  set session(session) {
    const page = metaContent("backchannel-login");
    if (!page) return;
    session.api.me().then(
      (me) => this.#show(session, page, me),
      // Not logged in, or not reachable: whatever else the page asks for says so.
      () => {},
    );
  }

  #show(session, page, me) {
    if (me.method !== "session") return;
    const name = me.name || me.user;
    const logins = el(
      "a",
      { class: "quiet-button account-name", href: session.api.address(page), title: "Your logins" },
      icon("user"),
      el("span", {}, name),
    );
    const out = el("button", { type: "submit", class: "icon-button", "aria-label": "Log out", title: "Log out" }, icon("exit"));
    const form = el("form", { method: "post", action: session.api.address("auth/logout") }, out);
    this.replaceChildren(logins, form);
  }
}

customElements.define("bc-account", BcAccount);
