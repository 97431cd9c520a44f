/** Dialogs in front of the page: a question, a form. */

import { el, type Child } from "../shared/dom.ts";

let made = 0;

/** A dialog with a title, which is removed when it is closed. Escape closes it. */
export function openDialog(title: string, ...content: readonly Child[]): HTMLDialogElement {
  const id = `dialog-${++made}`;
  const dialog = el("dialog", { "aria-labelledby": id }, el("h2", { id }, title), ...content);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Ask; true for a yes. `deed` names what the yes does. */
export function confirm(title: string, explanation: string, deed: string): Promise<boolean> {
  return new Promise((resolve) => {
    const no = el("button", { type: "button", onclick: () => dialog.close() }, "Keep it");
    const yes = el("button", { type: "button", class: "danger", onclick: () => dialog.close("yes") }, deed);
    const dialog = openDialog(title, el("p", {}, explanation), el("div", { class: "buttons" }, no, yes));
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"));
    no.focus();
  });
}
