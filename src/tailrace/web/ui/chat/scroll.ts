/** Keeps a growing column at its end, as long as the reader is there; one who has scrolled up is left in peace. */

import { el, icon } from "../shared/dom.ts";

const NEAR = 48;

export class Scroller {
  readonly element: HTMLElement;
  readonly jump: HTMLElement;
  #following = true;

  constructor(content: HTMLElement) {
    // Focusable, so that it scrolls by keys.
    this.element = el("div", { class: "scroller", tabindex: 0, role: "group", "aria-label": "Conversation" }, content);
    this.jump = el(
      "button",
      { type: "button", class: "jump", hidden: true, "aria-label": "Go to the end" },
      icon("M12 5v14M6 13l6 6 6-6"),
    );
    this.jump.addEventListener("click", () => this.follow());
    this.element.addEventListener("scroll", () => this.#look(), { passive: true });
    new ResizeObserver(() => this.#keep()).observe(content);
  }

  /** Go to the end, and stay there. */
  follow(): void {
    this.#following = true;
    this.#keep();
  }

  #keep(): void {
    if (this.#following) this.element.scrollTop = this.element.scrollHeight;
    this.#show();
  }

  #look(): void {
    const { scrollTop, scrollHeight, clientHeight } = this.element;
    this.#following = scrollHeight - scrollTop - clientHeight < NEAR;
    this.#show();
  }

  #show(): void {
    this.jump.hidden = this.#following;
  }
}
