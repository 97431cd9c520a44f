/** On a narrow screen the side is a drawer: its button opens it; a link in it, Escape or a press beside it close it. */

import { el, icon } from "./dom.ts";

export class Drawer {
  readonly button: HTMLButtonElement;
  readonly #shell: HTMLElement;

  /** `shell` holds the `side`; `label` names what is in it. */
  constructor(shell: HTMLElement, side: HTMLElement, label: string) {
    this.#shell = shell;
    const state = { "aria-controls": side.id, "aria-expanded": "false" };
    this.button = el(
      "button",
      { type: "button", class: "burger", "aria-label": label, ...state },
      icon("M4 7h16M4 12h16M4 17h16"),
    );
    this.button.addEventListener("click", () => this.#set(!this.#isOpen()));
    document.addEventListener("click", ({ target }) => this.#leave(target as Element, side));
    document.addEventListener("keydown", ({ key }) => key === "Escape" && this.#set(false));
  }

  close(): void {
    this.#set(false);
  }

  #leave(target: Element, side: HTMLElement): void {
    if (this.button.contains(target) || (side.contains(target) && target.closest("a") === null)) return;
    this.#set(false);
  }

  #isOpen(): boolean {
    return this.#shell.classList.contains("unfolded");
  }

  #set(open: boolean): void {
    this.#shell.classList.toggle("unfolded", open);
    this.button.setAttribute("aria-expanded", String(open));
  }
}
