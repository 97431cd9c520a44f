/** A model's reasoning, folded: its first line tells that there is some, and whether it goes on. */

import { el } from "../shared/dom.ts";

export class ReasoningFold {
  readonly element: HTMLDetailsElement;
  readonly #summary = el("summary", {}, "Thinking…");
  readonly #text = document.createTextNode("");

  constructor() {
    this.element = el("details", { class: "reasoning", hidden: true }, this.#summary, el("p", {}, this.#text));
  }

  /** Show this reasoning; `over`: the answer itself has begun. */
  show(reasoning: string, over: boolean): void {
    if (reasoning === "") return;
    this.element.hidden = false;
    const { data } = this.#text;
    if (reasoning.startsWith(data)) this.#text.appendData(reasoning.slice(data.length));
    else this.#text.data = reasoning;
    if (over) this.end();
  }

  end(): void {
    this.#summary.textContent = "Thoughts";
  }
}
