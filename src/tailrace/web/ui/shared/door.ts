/** The door: asks for a key where one is needed, and stays until it opens. */

import { TailraceError } from "tailrace";

import { el } from "./dom.ts";
import { askVisitor, signIn, type Visitor } from "./visitor.ts";

/** What the page says about the key that it needs. */
export interface DoorWords {
  readonly title: string;
  readonly advice: string;
}

/** Who is signed in, having asked for a key if nobody was. */
export async function pass(words: DoorWords): Promise<Visitor> {
  for (;;) {
    const visitor = await reach();
    if (visitor.signed_in) return visitor;
    await new Door(words, visitor.refusal).opened();
  }
}

/** Ask until the server answers: a page that came from it is worth more than a page that says it is gone. */
async function reach(): Promise<Visitor> {
  try {
    return await askVisitor();
  } catch (error) {
    await new Outage(error).dismissed();
    return reach();
  }
}

class Door {
  readonly #input = el("input", {
    id: "key",
    name: "key",
    type: "password",
    autocomplete: "current-password",
    required: true,
    spellcheck: "false",
    "aria-describedby": "key-advice key-trouble",
    placeholder: "tr_…",
  });
  readonly #trouble = el("p", { id: "key-trouble", class: "trouble", role: "alert" });
  readonly #button = el("button", { type: "submit", class: "primary" }, "Sign in");
  readonly #dialog: HTMLDialogElement;
  #open = (): void => {};

  constructor({ title, advice }: DoorWords, refusal?: string) {
    const form = el(
      "form",
      { onsubmit: (event: SubmitEvent) => void this.#submit(event) },
      el("h2", { id: "door-title" }, title),
      el("p", { id: "key-advice" }, advice),
      el("label", { for: "key" }, "API key"),
      this.#input,
      this.#trouble,
      this.#button,
    );
    this.#trouble.textContent = refusal ?? "";
    // Escape would leave a page on which nothing works.
    const stay = (event: Event): void => event.preventDefault();
    this.#dialog = el("dialog", { class: "door", "aria-labelledby": "door-title", oncancel: stay }, form);
  }

  opened(): Promise<void> {
    document.body.append(this.#dialog);
    this.#dialog.showModal();
    this.#input.focus();
    return new Promise((resolve) => {
      this.#open = () => {
        this.#dialog.close();
        this.#dialog.remove();
        resolve();
      };
    });
  }

  async #submit(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    this.#button.disabled = true;
    try {
      await signIn(this.#input.value.trim());
      this.#open();
    } catch (error) {
      this.#trouble.textContent = refusalWords(error);
      this.#input.select();
    } finally {
      this.#button.disabled = false;
    }
  }
}

/** The server can't be reached: says so, and how to try again. */
class Outage {
  readonly #dialog: HTMLDialogElement;
  readonly #button = el("button", { type: "button", class: "primary" }, "Try again");

  constructor(error: unknown) {
    const said = error instanceof Error ? error.message : String(error);
    this.#dialog = el(
      "dialog",
      { class: "door", "aria-labelledby": "outage-title" },
      el("h2", { id: "outage-title" }, "The server can’t be reached"),
      el("p", {}, "Check that tailrace runs and that this machine is online, then try again."),
      el("p", { class: "trouble" }, said),
      this.#button,
    );
  }

  dismissed(): Promise<void> {
    document.body.append(this.#dialog);
    this.#dialog.showModal();
    return new Promise((resolve) => {
      const leave = (): void => {
        this.#dialog.remove();
        resolve();
      };
      this.#button.addEventListener("click", () => this.#dialog.close());
      this.#dialog.addEventListener("close", leave, { once: true });
    });
  }
}

function refusalWords(error: unknown): string {
  if (!(error instanceof TailraceError)) return String(error);
  if (error.status === 401) return "This key is not valid: it is mistyped, revoked or expired.";
  if (error.code === "connection_lost") return "The server can’t be reached. Check that tailrace runs, then try again.";
  return error.message;
}
