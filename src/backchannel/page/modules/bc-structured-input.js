// A form the agent asks the reader to fill in; once answered, a summary of the answers.
import { el, setAttribute } from "./dom.js";

const OTHER = "\u0000other";

const QUESTIONS = {
  form: "Questions",
  other: "Something else",
  send: "Send answers",
  skip: "Skip",
  missing: "Answer at least one question, or choose “Skip”.",
  summary: "Your answers",
  skipped: "Skipped",
  isComplete: (answers) => answers.some((answer) => !answer.skipped),
  otherAnswer: (text) => text,
};

const APPROVALS = {
  form: "Approval",
  other: "Decline, because",
  send: "Send decision",
  skip: "Decline",
  missing: "Decide about each call, or choose “Decline” for all of them.",
  summary: "Your decision",
  skipped: "Declined",
  isComplete: (answers) => answers.every((answer) => !answer.skipped),
  // A reason must not be taken for an approval, whatever it says.
  otherAnswer: (text) => `Decline: ${text}`,
};

/** The words of a form: the server gives questions about calls of tools ids that begin with "approval_". */
function wording(item) {
  const inputs = item.inputs ?? [];
  return inputs.length > 0 && inputs.every((input) => input.id.startsWith("approval_")) ? APPROVALS : QUESTIONS;
}

export class BcStructuredInput extends HTMLElement {
  #itemId = null;
  #status = null;
  #error = null;

  update(entry, view) {
    const { item } = entry;
    if (item.id !== this.#itemId || item.status !== this.#status) {
      this.#itemId = item.id;
      this.#status = item.status;
      this.replaceChildren(item.status === "pending" ? this.#form(item, view.conversation) : summary(item));
    }
    const locked = view.running || view.conversation.closedReason !== null;
    for (const control of this.querySelectorAll("button, input, textarea")) setAttribute(control, "disabled", locked);
  }

  #form(item, conversation) {
    const { draft } = conversation;
    const words = wording(item);
    this.#error = el("p", { class: "form-error", role: "alert" });
    const form = el(
      "form",
      { class: "panel structured-input", "aria-label": words.form, novalidate: true },
      (item.inputs ?? []).map((input, index) => question(input, `${item.id}-${index}`, words)),
      this.#error,
      el(
        "div",
        { class: "form-buttons" },
        el("button", { type: "submit", class: "button primary" }, words.send),
        el("button", { type: "button", class: "button", onclick: () => this.#skip(item, conversation) }, words.skip),
      ),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit(form, item, conversation);
    });
    restoreAnswers(form, draft.answers(item.id));
    form.addEventListener("input", () => draft.setAnswers(item.id, enteredAnswers(form)));
    return form;
  }

  #submit(form, item, conversation) {
    const words = wording(item);
    const answers = {};
    (item.inputs ?? []).forEach((input, index) => {
      const values = valuesOf(form, `${item.id}-${index}`, words);
      answers[input.id] = { values, skipped: values.length === 0 };
    });
    if (!words.isComplete(Object.values(answers))) {
      this.#error.textContent = words.missing;
      return;
    }
    this.#error.textContent = "";
    this.#send(item, conversation, { status: "answered", answers });
  }

  #skip(item, conversation) {
    this.#send(item, conversation, { status: "skipped", answers: {} });
  }

  async #send(item, conversation, input) {
    if (await conversation.submitInput(item.id, input)) conversation.draft.setAnswers(item.id, null);
  }
}

function question(input, name, words) {
  if (input.type === "multiple_choice") return choice(input, name, words);
  const hint = input.description ? el("p", { class: "hint", id: `${name}-hint` }, input.description) : null;
  return el(
    "div",
    { class: "question" },
    el("label", { for: name }, input.question),
    hint,
    el("textarea", { id: name, name, rows: "2", class: "field", "aria-describedby": hint ? `${name}-hint` : null }),
  );
}

function choice(input, name, words) {
  const type = input.multiple ? "checkbox" : "radio";
  const option = (value, label) =>
    el("label", { class: "option" }, el("input", { type, name, value }), el("span", {}, label));
  const text = el("input", {
    type: "text",
    class: "field",
    name: `${name}-other`,
    "aria-label": `Another answer: ${input.question}`,
  });
  const other = option(OTHER, words.other);
  text.addEventListener("input", () => {
    other.querySelector("input").checked = text.value.trim() !== "";
  });
  return el(
    "fieldset",
    { class: "question" },
    el("legend", {}, input.question),
    (input.options ?? []).map(({ value }) => option(value, value)),
    el("div", { class: "other-option" }, other, text),
  );
}

function valuesOf(form, name, words) {
  const controls = [...form.elements].filter((control) => control.name === name);
  const other = form.elements[`${name}-other`]?.value.trim() ?? "";
  return controls
    .filter((control) => control.type === "textarea" || control.checked)
    .map((control) => (control.value === OTHER ? other && words.otherAnswer(other) : control.value.trim()))
    .filter((value) => value !== "");
}

// In the order of the controls, which the questions give.
function enteredAnswers(form) {
  return namedControls(form).map((control) => (isChoice(control) ? control.checked : control.value));
}

function restoreAnswers(form, entered) {
  const controls = namedControls(form);
  if (entered?.length !== controls.length) return;
  controls.forEach((control, index) => {
    control[isChoice(control) ? "checked" : "value"] = entered[index];
  });
}

function namedControls(form) {
  return [...form.elements].filter((control) => control.name);
}

function isChoice(control) {
  return control.type === "checkbox" || control.type === "radio";
}

function summary(item) {
  const words = wording(item);
  const rows = (item.inputs ?? []).map((input) => {
    const skipped = !input.answer || input.answer.skipped || (input.answer.values ?? []).length === 0;
    const answer = skipped ? el("span", { class: "muted" }, words.skipped) : input.answer.values.join(", ");
    return [el("dt", {}, input.question), el("dd", {}, answer)];
  });
  return el("dl", { class: "panel answers", "aria-label": words.summary }, rows);
}

customElements.define("bc-structured-input", BcStructuredInput);
