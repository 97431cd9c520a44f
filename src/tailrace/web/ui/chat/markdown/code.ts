/** A block of code that grows, with its language and a button that copies it. */

import { el } from "../../shared/dom.ts";
import { copyButton } from "../copying.ts";

export class CodeBlock {
  readonly element: HTMLElement;
  readonly language: string;
  readonly #text = document.createTextNode("");

  constructor(language: string) {
    this.language = language;
    const bar = el(
      "div",
      { class: "code-bar" },
      el("span", {}, language || "text"),
      copyButton("Copy code", () => this.#text.data),
    );
    // Focusable, for what is wider than the page is scrolled by keys.
    const code = el("pre", { tabindex: 0 }, el("code", {}, this.#text));
    this.element = el("div", { class: "code" }, bar, code);
  }

  /** Show this code; only what is new is handed to the browser. */
  show(code: string): void {
    const { data } = this.#text;
    if (code.startsWith(data)) this.#text.appendData(code.slice(data.length));
    else this.#text.data = code;
  }
}
