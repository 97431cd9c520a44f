/** A question on the page, and the field it becomes when it is edited. */

import { el } from "../shared/dom.ts";

export class QuestionView {
  readonly kind = "question";
  readonly element: HTMLElement;
  readonly text: string;
  /** The message's id, once the server keeps it. */
  id: string | undefined;
  readonly #body: HTMLElement;
  readonly #edit: HTMLButtonElement;
  readonly #revise: (text: string) => void;

  /** `revise` asks this in its place, and drops what follows. */
  constructor(text: string, revise: (text: string) => void) {
    this.text = text;
    this.#revise = revise;
    this.#body = el("p", {}, text);
    this.#edit = el("button", { type: "button", class: "quiet", onclick: () => this.#open() }, "Edit");
    const actions = el("div", { class: "actions" }, this.#edit);
    this.element = el("article", { class: "question", "aria-label": "Question" }, this.#body, actions);
  }

  #open(): void {
    const area = el("textarea", {
      "aria-label": "Edit the question",
      rows: Math.min(12, this.text.split("\n").length + 1),
    });
    area.value = this.text;
    const save = el("button", { type: "submit", class: "primary" }, "Ask this instead");
    const cancel = el("button", { type: "button", onclick: () => this.#close(form) }, "Cancel");
    const submit = (event?: Event): void => {
      event?.preventDefault();
      const text = area.value.trim();
      this.#close(form);
      if (text !== "") this.#revise(text);
    };
    const onkeydown = (event: KeyboardEvent): void => {
      if (event.key === "Escape") this.#close(form);
      else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) submit(event);
      else return;
      event.stopPropagation();
    };
    const form = el("form", { class: "editing", onsubmit: submit, onkeydown }, area, el("div", {}, save, cancel));
    this.element.classList.add("edited");
    this.element.append(form);
    area.focus();
  }

  #close(form: HTMLFormElement): void {
    form.remove();
    this.element.classList.remove("edited");
    this.#edit.focus();
  }
}
