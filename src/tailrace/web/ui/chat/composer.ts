/** Where one writes: Enter sends, Shift and Enter begin a line, Escape stops. */

import { el, icon } from "../shared/dom.ts";

const SEND = "M12 19V5M6 11l6-6 6 6";
const STOP = "M7 7h10v10H7z";

export interface ComposerHost {
  send(text: string): void;
  stop(): void;
}

export class Composer {
  readonly element: HTMLFormElement;
  readonly #area: HTMLTextAreaElement;
  readonly #button: HTMLButtonElement;
  readonly #host: ComposerHost;
  #busy = false;
  #draft = "";

  constructor(host: ComposerHost) {
    this.#host = host;
    this.#area = el("textarea", {
      rows: 1,
      "aria-label": "Your message",
      enterkeyhint: "send",
      oninput: () => this.#changed(),
      onkeydown: (event: KeyboardEvent) => this.#press(event),
    });
    this.#button = el("button", { type: "submit", class: "send" });
    const hint = el("p", { class: "hint" }, "Enter sends · Shift+Enter for a new line · Esc stops");
    const box = el("div", { class: "box" }, this.#area, this.#button);
    this.element = el("form", { class: "composer", onsubmit: (event: SubmitEvent) => this.#submit(event) }, box, hint);
    this.setBusy(false);
  }

  focus(): void {
    this.#area.focus();
  }

  /** Show the text that was typed for this conversation and never sent. */
  open(session: string, placeholder: string): void {
    this.#area.placeholder = placeholder;
    this.#draft = `tailrace.draft.${session}`;
    this.write(sessionStorage.getItem(this.#draft) ?? "");
  }

  write(text: string): void {
    this.#area.value = text;
    this.#changed();
  }

  /** The server has what was sent: it need not be kept here. */
  forget(): void {
    if (this.#area.value === "") sessionStorage.removeItem(this.#draft);
  }

  setBusy(busy: boolean): void {
    this.#busy = busy;
    this.#button.replaceChildren(icon(busy ? STOP : SEND));
    this.#button.setAttribute("aria-label", busy ? "Stop" : "Send");
    this.#button.classList.toggle("stop", busy);
  }

  #changed(): void {
    const { value, style } = this.#area;
    if (value !== "") sessionStorage.setItem(this.#draft, value);
    style.height = "auto";
    style.height = `${this.#area.scrollHeight}px`;
  }

  #press(event: KeyboardEvent): void {
    // An Enter that chooses a word of an input method is none of ours.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.#send();
  }

  #submit(event: SubmitEvent): void {
    event.preventDefault();
    if (this.#busy) this.#host.stop();
    else this.#send();
  }

  #send(): void {
    const text = this.#area.value.trim();
    if (this.#busy || text === "") return;
    this.#area.value = "";
    this.#changed();
    this.#host.send(text);
  }
}
