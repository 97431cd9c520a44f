/** The models that may be asked, and the field that chooses one: by its list, or by any name typed. */

import { models as askModels } from "tailrace/api";

import { client } from "../shared/client.ts";
import { el } from "../shared/dom.ts";

const list = el("datalist", { id: "models" });
document.body.append(list);

let names: readonly string[] = [];

/** The names that the server lists, as they were last heard. */
export function knownModels(): readonly string[] {
  return names;
}

/** Ask the server anew. Throws a TailraceError. */
export async function refreshModels(): Promise<void> {
  names = (await askModels(client)).map(({ id }) => id);
  list.replaceChildren(...names.map((name) => el("option", { value: name })));
}

/** Only the simulated model is there: nothing was configured. */
export function isUnconfigured(): boolean {
  return names.every((name) => name.split("/")[0] === "simulated");
}

/** The field that names a thread's model; empty for the server's default. */
export class ModelPicker {
  readonly element: HTMLElement;
  readonly #input: HTMLInputElement;
  readonly #kept: string;
  #model: string;

  /** The choice is kept in this browser under `kept`. */
  constructor(label: string, kept: string) {
    this.#kept = kept;
    this.#model = localStorage.getItem(kept) ?? "";
    this.#input = el("input", {
      list: list.id,
      placeholder: "Default model",
      autocomplete: "off",
      spellcheck: "false",
      onfocus: () => this.#open(),
      onblur: () => this.#close(),
      onchange: () => this.choose(this.#input.value),
      onkeydown: (event: KeyboardEvent) => event.key === "Enter" && this.#input.blur(),
    });
    this.#input.value = this.#model;
    this.element = el("label", { class: "model" }, label, this.#input);
  }

  get model(): string {
    return this.#model;
  }

  choose(model: string): void {
    this.#model = model.trim();
    this.#input.value = this.#model;
    localStorage.setItem(this.#kept, this.#model);
  }

  /** Browsers offer only what goes on from what is written: an empty field offers all. */
  #open(): void {
    this.#input.placeholder = this.#model || "Default model";
    this.#input.value = "";
  }

  #close(): void {
    this.#input.placeholder = "Default model";
    this.#input.value = this.#model;
  }
}
