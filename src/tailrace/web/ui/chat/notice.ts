/** A note that something went wrong, with what to do, and a button that tries again. */

import { el } from "../shared/dom.ts";
import type { Trouble } from "./troubles.ts";

export class Notice {
  readonly element = el("div", { class: "notice", hidden: true });
  readonly #again: () => void;

  constructor(again: () => void) {
    this.#again = again;
  }

  show({ code, title, advice, said }: Trouble): void {
    const retry = el("button", { type: "button", onclick: () => this.#again() }, "Try again");
    this.element.dataset["code"] = code;
    this.element.replaceChildren(
      el("p", {}, el("strong", {}, title), ". ", advice),
      ...(said === undefined ? [] : [el("p", { class: "said" }, said)]),
      retry,
    );
    this.element.hidden = false;
  }

  clear(): void {
    this.element.hidden = true;
    this.element.replaceChildren();
  }
}
