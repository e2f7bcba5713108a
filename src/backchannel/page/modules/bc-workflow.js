// A workflow: the hand-offs and tools of an answer as they happen, folded to one line afterwards.
import { el, externalLink, prefersLessMotion, setAttribute } from "./dom.js";
import { icon, taskIcon } from "./icons.js";
import { renderMarkdown } from "./markdown.js";

// Quick steps would disappear before they could be read.
const MIN_OPEN_MS = 1400;
const FOLDING_MS = 240;

// How the server marks a task that did not complete: the protocol has no status for it.
const ENDS = [
  { word: "Failed.", label: "Failed", name: "failed" },
  { word: "Not finished.", label: "Not finished", name: "unfinished" },
];

let nextId = 1;

export class BcWorkflow extends HTMLElement {
  #open = null;
  #seenLiveAt = null;
  #fold = null;
  #list = null;
  #button = null;
  #shown = [];

  update(entry) {
    this.#build();
    const workflow = workflowOf(entry.item);
    const { live } = entry;
    if (live) this.#seenLiveAt ??= performance.now();
    const title = live ? liveTitle(workflow) : summaryTitle(workflow);
    this.#button.querySelector(".workflow-title").textContent = title;
    setAttribute(this, "data-live", live);
    this.#showOpen(live, workflow.expanded === true);
    this.#showTasks(workflow.tasks ?? [], live);
    this.hidden = !live && (workflow.tasks ?? []).length === 0;
  }

  #build() {
    if (this.#list) return;
    const id = `workflow-${nextId++}`;
    this.#list = el("ol", { class: "tasks", id });
    this.#button = el(
      "button",
      { type: "button", class: "workflow-summary", "aria-controls": id },
      el("span", { class: "workflow-title" }),
      icon("chevron-right"),
    );
    this.#button.addEventListener("click", () => this.#toggle());
    this.append(el("section", { class: "workflow", "aria-label": "Steps" }, this.#button, this.#list));
  }

  #toggle() {
    this.#open = this.#button.getAttribute("aria-expanded") !== "true";
    this.#setOpen(this.#open);
  }

  // The reader's own choice counts first; without one the steps are open while they happen.
  #showOpen(live, expanded) {
    clearTimeout(this.#fold);
    if (this.#open !== null || live || expanded || this.#seenLiveAt === null) {
      this.#setOpen(this.#open ?? (live || expanded));
      return;
    }
    const left = this.#seenLiveAt + MIN_OPEN_MS - performance.now();
    this.#fold = setTimeout(() => this.#foldUp(), Math.max(0, left));
  }

  #setOpen(open) {
    setAttribute(this.#button, "aria-expanded", String(open));
    this.#list.hidden = !open;
  }

  async #foldUp() {
    if (this.#open !== null || this.#list.hidden) return;
    setAttribute(this.#button, "aria-expanded", "false");
    if (!prefersLessMotion() && this.isConnected) {
      const from = { height: `${this.#list.offsetHeight}px`, opacity: 1, overflow: "clip" };
      const to = { height: "0px", opacity: 0, overflow: "clip", marginTop: "0px" };
      await this.#list.animate([from, to], { duration: FOLDING_MS, easing: "ease-out" }).finished.catch(() => {});
    }
    this.#list.hidden = this.#open !== true;
  }

  #showTasks(tasks, live) {
    tasks.forEach((task, index) => {
      const state = `${JSON.stringify(task)} ${live}`;
      const shown = this.#shown[index];
      if (shown?.state === state) return;
      const node = taskLine(task ?? {}, live, shown === undefined);
      if (shown) shown.node.replaceWith(node);
      else this.#list.append(node);
      this.#shown[index] = { state, node };
    });
    for (const { node } of this.#shown.splice(tasks.length)) node.remove();
  }
}

// An item that is a task on its own is shown as a workflow of one.
function workflowOf(item) {
  return item.type === "task" ? { type: "custom", tasks: [item.task], expanded: true } : (item.workflow ?? {});
}

function liveTitle({ type, tasks = [] }) {
  const last = tasks.at(-1);
  const thinking = last ? last.type === "thought" : type === "reasoning";
  return thinking ? "Thinking…" : "Working…";
}

function summaryTitle(workflow) {
  const { summary, tasks = [], type } = workflow;
  if (summary?.title) return summary.title;
  const seconds = typeof summary?.duration === "number" ? Math.round(summary.duration) : 0;
  const work = tasks.filter((task) => task.type !== "thought");
  if (work.length === 0 && (type === "reasoning" || tasks.length > 0)) {
    return seconds < 1 ? "Thought about it" : `Thought for ${durationText(seconds)}`;
  }
  const parts = [stepsText(work), ...endsText(work)];
  return seconds < 1 ? parts.join(" · ") : [...parts, durationText(seconds)].join(" · ");
}

// In words only: the answer may have got on without the tool.
function endsText(tasks) {
  return ENDS.map((end) => [tasks.filter((task) => endOf(task) === end).length, end.label.toLowerCase()])
    .filter(([count]) => count > 0)
    .map(([count, label]) => `${count} ${label}`);
}

/** How a task ended that did not complete, or null. */
function endOf(task) {
  if (task.type !== "custom" || task.status_indicator !== "none") return null;
  return ENDS.find(({ word }) => task.content?.startsWith(word)) ?? null;
}

// Tools say more than hand-offs, which are named only if there were no tools.
function stepsText(tasks) {
  const named = tasks.filter((task) => taskTitle(task) !== null);
  const tools = named.filter((task) => task.icon !== "agent");
  const titles = [...new Set((tools.length > 0 ? tools : named).map(taskTitle))];
  if (titles.length === 0) return tasks.length === 1 ? "1 step" : `${tasks.length} steps`;
  return titles.length <= 2 ? titles.join(", ") : `${titles[0]} and ${titles.length - 1} more`;
}

function durationText(seconds) {
  if (seconds < 60) return seconds === 1 ? "1 second" : `${seconds} seconds`;
  const minutes = Math.floor(seconds / 60);
  return `${minutes} min ${seconds % 60} s`;
}

function taskTitle(task) {
  const titles = {
    web_search: task.title_query ? `Searched for “${task.title_query}”` : "Searched the web",
    file: "Read files",
    image: "Made an image",
  };
  return task.title || titles[task.type] || null;
}

function taskLine(task, live, fresh) {
  const title = taskTitle(task);
  const end = endOf(task);
  const content = end ? task.content.slice(end.word.length).trim() : task.content;
  const body = content ? renderMarkdown(content) : null;
  body?.classList.add("task-content");
  const sources = (task.sources ?? []).map((source) => {
    const label = source.title || source.filename || source.url || "Source";
    return el("li", {}, externalLink(source.url ?? "", {}, label) ?? el("span", {}, label));
  });
  return el(
    "li",
    { class: "task-line", "data-status": end?.name ?? task.status_indicator ?? "none", "data-fresh": fresh },
    taskMark(task, live),
    el(
      "div",
      { class: "task-body" },
      title || !body ? el("span", { class: "task-title" }, title ?? "Step") : null,
      end ? el("span", { class: "task-end" }, " ", icon(end.name), end.label) : status(task, live),
      body,
      sources.length > 0 ? el("ul", { class: "sources" }, sources) : null,
    ),
  );
}

function taskMark(task, live) {
  const loading = live && task.status_indicator === "loading";
  if (loading) return el("span", { class: "task-mark spinner", "aria-hidden": "true" });
  const picture = taskIcon(task.icon) ?? icon(task.type === "thought" ? "bulb" : "dot");
  return el("span", { class: "task-mark" }, picture);
}

function status(task, live) {
  const hidden = (text) => el("span", { class: "visually-hidden" }, text);
  if (live && task.status_indicator === "loading") return hidden(" in progress");
  return task.status_indicator === "complete" ? el("span", { class: "task-done" }, icon("check"), hidden(" done")) : null;
}

customElements.define("bc-workflow", BcWorkflow);
