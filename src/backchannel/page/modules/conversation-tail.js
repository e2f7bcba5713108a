// Below the last item: the message that is being sent, the activity of the run, notices and failures.
import { userBubble } from "./bc-message.js";
import { el } from "./dom.js";
import { icon } from "./icons.js";
import { renderMarkdown } from "./markdown.js";
import { waitingList } from "./waiting-list.js";

// Not only "Continue": models have answered the question before again, from the beginning.
const CONTINUE = "Continue where the answer was cut off.";

/** The tail as {element, update(conversation), reset()}. */
export function conversationTail() {
  const slots = [pendingMessage, activity, notices, failure, unanswered].map((draw) => ({
    draw,
    key: null,
    box: el("div", { class: "tail-slot" }),
  }));
  const waiting = waitingList();
  return {
    element: el("div", { class: "tail" }, ...slots.map((slot) => slot.box), waiting.element),
    update(conversation) {
      for (const slot of slots) fill(slot, conversation);
      waiting.update(conversation);
    },
    reset() {
      waiting.reset();
      for (const slot of slots) {
        slot.key = null;
        slot.box.replaceChildren();
      }
    },
  };
}

// A slot is drawn again only when its key changes, because a screen reader would read an alert again.
function fill(slot, conversation) {
  const { key, nodes } = slot.draw(conversation);
  if (slot.key === key) return;
  slot.key = key;
  slot.box.replaceChildren(...(key === null ? [] : nodes()));
}

function pendingMessage({ pendingText, pendingFiles }) {
  return {
    key: pendingText === null ? null : [pendingText, ...pendingFiles.map(({ id }) => id)].join("\n"),
    nodes: () => {
      const bubble = userBubble({ content: [{ type: "input_text", text: pendingText }], attachments: pendingFiles });
      bubble.classList.add("pending");
      return [bubble];
    },
  };
}

function activity(conversation) {
  const text = activityText(conversation);
  return {
    key: text,
    nodes: () => [
      el(
        "p",
        { class: "activity", role: conversation.status === "reconnecting" ? "status" : null },
        el("span", { class: "dots", "aria-hidden": "true" }, el("i"), el("i"), el("i")),
        el("span", { class: text === "Answering" ? "visually-hidden" : "" }, `${text}…`),
      ),
    ],
  };
}

// Null where an item already shows activity.
function activityText(conversation) {
  if (!conversation.running) return null;
  if (conversation.status === "reconnecting") return "Reconnecting";
  if (conversation.status === "stopping") return "Stopping";
  if (conversation.progress) return conversation.progress.replace(/(\.\.\.|…)$/, "");
  const last = conversation.items.all().at(-1);
  if (last?.live && (last.item.type === "workflow" || last.item.type === "generated_image")) return null;
  const writing = last?.live && last.item.type === "assistant_message";
  return writing && last.item.content?.some((content) => content.text) ? null : "Answering";
}

function notices(conversation) {
  const list = conversation.notices;
  return {
    key: list.length > 0 ? list.map((notice) => `${notice.level}${notice.title}${notice.message}`).join("\n") : null,
    nodes: () => list.map((notice) => noticeBox(notice, conversation)),
  };
}

function noticeBox(notice, conversation) {
  const title = notice.title ? el("strong", {}, notice.title) : null;
  return el(
    "div",
    { class: "notice", "data-level": notice.level, role: notice.level === "danger" ? "alert" : "status" },
    icon(notice.level === "info" ? "info" : "alert"),
    el("div", { class: "notice-body" }, title, renderMarkdown(notice.message)),
    dismissButton(() => conversation.dismissNotice(notice)),
  );
}

function failure(conversation) {
  // A failed answer is shown when its run has ended, a refused request at once.
  const { failure: problem, phase, running, closedReason: closed } = conversation;
  const shown = problem && !problem.dismissed && phase === "ready" && (!running || problem.refusal);
  return {
    key: shown ? `${problem.message} ${problem.canRetry} ${problem.requestId} ${closed}` : null,
    nodes: () => [
      el(
        "div",
        { class: "notice", "data-level": problem.level ?? "danger", role: "alert" },
        icon(problem.level === "info" ? "info" : "alert"),
        el(
          "div",
          { class: "notice-body" },
          el("p", {}, problem.message),
          problem.requestId ? el("p", { class: "reference" }, `Reference: ${problem.requestId}`) : null,
        ),
        ...waysOut(conversation),
      ),
    ],
  };
}

// What can be done about a failure.
function waysOut(conversation) {
  const { canRetry, truncated } = conversation.failure;
  const open = !conversation.closedReason;
  const buttons = [
    truncated && open ? actionButton("arrow-right", "Continue", () => conversation.send(CONTINUE)) : null,
    canRetry && open ? actionButton("refresh", "Try again", () => conversation.retry()) : null,
  ].filter(Boolean);
  if (buttons.length === 0) return [dismissButton(() => conversation.dismissFailure())];
  return [el("div", { class: "notice-actions" }, buttons)];
}

function actionButton(picture, label, act) {
  const button = el("button", { type: "button", class: "button" }, icon(picture), label);
  button.addEventListener("click", () => {
    // It disappears; a keyboard's focus goes to the message box, but no phone's keyboard opens.
    if (button.matches(":focus-visible")) button.dispatchEvent(new CustomEvent("focus-lost", { bubbles: true }));
    act();
  });
  return button;
}

function dismissButton(onclick) {
  return el("button", { type: "button", class: "icon-button small", "aria-label": "Dismiss", onclick }, icon("close"));
}

// A message has no answer if it was stopped before the first word, or the run was lost.
function unanswered(conversation) {
  const last = conversation.items.all().at(-1)?.item;
  const failed = conversation.failure;
  const idle = conversation.phase === "ready" && !conversation.running && (!failed || failed.dismissed);
  const open = idle && !conversation.closedReason && conversation.pendingText === null;
  const message = conversation.stopped ? "You stopped this answer." : "This message has no answer.";
  const shown = open && (last?.type === "user_message" || (conversation.stopped && last));
  const canRetry = last?.type === "user_message" && !failed;
  return {
    key: shown ? `${message} ${canRetry}` : null,
    nodes: () => [
      el(
        "p",
        { class: "quiet-line" },
        el("span", {}, message),
        canRetry
          ? el("button", { type: "button", class: "link-button", onclick: () => conversation.retry() }, "Try again")
          : null,
      ),
    ],
  };
}
