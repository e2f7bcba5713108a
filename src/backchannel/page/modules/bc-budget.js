// A notice when a budget of the reader is nearly used up, or wholly, with the time at which it is available again.
import { el, metaContent } from "./dom.js";
import { icon } from "./icons.js";

const NEARLY = 80;
const DAY_MS = 86400000;
const PERIODS = { hour: "this hour", day: "today", week: "this week", month: "this month" };

/** Empty where there are no budgets, and while enough is left. */
export class BcBudget extends HTMLElement {
  #session = null;
  #running = false;
  #timer = 0;

  set session(session) {
    // Without budgets, the server is not asked.
    if (!metaContent("backchannel-budgets")) return;
    this.#session = session;
    session.api.introduced.then(() => this.#look());
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") this.#look();
    });
  }

  /** Tells whether an answer is in progress: after its end, less is left. */
  set running(running) {
    if (this.#running && !running) this.#look();
    this.#running = running;
  }

  async #look() {
    if (!this.#session) return;
    try {
      this.#show(await this.#session.api.usage());
    } catch {
      // Whatever else the page asks for says why.
    }
  }

  #show({ budgets }) {
    clearTimeout(this.#timer);
    const tight = budgets.filter((each) => each.percent >= NEARLY);
    // Of several, the one that is used up and comes back last.
    tight.sort((a, b) => b.exhausted - a.exhausted || Date.parse(b.resets_at) - Date.parse(a.resets_at));
    if (tight.length === 0) {
      this.replaceChildren();
      return;
    }
    const [budget] = tight;
    const text = noticeText(budget, new Date());
    const kind = budget.exhausted ? "budget-notice used-up" : "budget-notice";
    if (this.textContent !== text) {
      this.replaceChildren(el("p", { class: kind }, icon("clock"), el("span", {}, text)));
    }
    const left = Date.parse(budget.resets_at) - Date.now() + 1000;
    if (left < DAY_MS) this.#timer = setTimeout(() => this.#look(), Math.max(left, 1000));
  }
}

/** What the notice says of a budget, as `GET /api/chatkit/usage` has it. */
export function noticeText(budget, now) {
  const whose = budget.scope === "user" ? "your" : "your organisation’s";
  const [noun, verb] = budget.unit === "money" ? ["budget", "is"] : ["tokens", "are"];
  const what = `${whose} ${noun} for ${PERIODS[budget.window]}`;
  const when = resetText(new Date(budget.resets_at), now);
  if (!budget.exhausted) return `${budget.percent} % of ${what} ${verb} used. There is a new budget ${when}.`;
  return `${what[0].toUpperCase()}${what.slice(1)} ${verb} used up. You can go on ${when}.`;
}

function resetText(moment, now) {
  const time = moment.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  if (moment.toDateString() === now.toDateString()) return `at ${time}`;
  const tomorrow = new Date(now);
  tomorrow.setDate(now.getDate() + 1);
  if (moment.toDateString() === tomorrow.toDateString()) return `tomorrow at ${time}`;
  const day = moment.toLocaleDateString([], { weekday: "long", day: "numeric", month: "long" });
  return `on ${day} at ${time}`;
}

customElements.define("bc-budget", BcBudget);
