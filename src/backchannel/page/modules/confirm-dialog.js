// A confirmation before an action that cannot be undone.
import { el } from "./dom.js";

/**
 * Asks; when the reader agrees, awaits `run` and closes, or shows in place why it failed. Resolves to
 * whether it was done.
 */
export function confirmDialog({ title, text, action, run }) {
  return new Promise((resolve) => {
    let done = false;
    const failure = el("p", { class: "form-error", role: "alert" });
    const cancel = el("button", { type: "button", class: "button" }, "Cancel");
    const agree = el("button", { type: "button", class: "button danger" }, action);
    const dialog = el(
      "dialog",
      { class: "dialog", "aria-labelledby": "dialog-title", "aria-describedby": "dialog-text" },
      el("h2", { id: "dialog-title" }, title),
      el("p", { id: "dialog-text" }, text),
      failure,
      el("div", { class: "form-buttons end" }, cancel, agree),
    );
    cancel.addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(done);
    });
    agree.addEventListener("click", async () => {
      agree.disabled = true;
      failure.textContent = "";
      try {
        await run();
        done = true;
        dialog.close();
      } catch (error) {
        failure.textContent = error.message;
        agree.disabled = false;
      }
    });
    document.body.append(dialog);
    dialog.showModal();
    cancel.focus();
  });
}
