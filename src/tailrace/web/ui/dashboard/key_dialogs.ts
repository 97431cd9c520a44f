/** The form for a key's name and limits, and the one look at a new key. */

import { TailraceError } from "tailrace";

import { el, type Attributes, type Child } from "../shared/dom.ts";
import type { Key, KeyTerms } from "./api.ts";
import { openDialog } from "./dialogs.ts";

/** What the form is for. `first`: no key exists yet. */
export interface Purpose {
  readonly title: string;
  readonly deed: string;
  readonly key?: Key;
  readonly first?: boolean;
}

interface Field {
  readonly name: keyof KeyTerms;
  readonly label: string;
  readonly hint: string;
  readonly attributes?: Attributes;
}

const WHOLE: Attributes = { type: "number", min: 1, step: 1, inputmode: "numeric" };
const NUMBERS: readonly (keyof KeyTerms)[] = ["rpm", "tpm", "max_streams"];
const FIELDS: readonly Field[] = [
  { name: "name", label: "Name", hint: "Whose key it is.", attributes: { required: true, maxlength: 200 } },
  { name: "rpm", label: "Requests a minute", hint: "Empty: as the settings say.", attributes: WHOLE },
  { name: "tpm", label: "Tokens a minute", hint: "Empty: as the settings say.", attributes: WHOLE },
  { name: "max_streams", label: "Streams at the same time", hint: "Empty: as the settings say.", attributes: WHOLE },
  { name: "budget_usd", label: "Budget in USD", hint: "50/month, 5/day, or 50 in all. Empty: none." },
  { name: "models", label: "Models", hint: "The only ones it may use, with commas between. Empty: all." },
  { name: "expires", label: "Expires", hint: "In a span such as 30d, or on a date such as 2031-01-31. Empty: never." },
];

/** Ask for a key's terms and hand them to `save`; what that throws is shown beside its field. */
export function editKey(purpose: Purpose, save: (terms: KeyTerms) => Promise<void>): void {
  new KeyForm(purpose, save);
}

class KeyForm {
  readonly #purpose: Purpose;
  readonly #save: (terms: KeyTerms) => Promise<void>;
  readonly #inputs = new Map<string, HTMLInputElement>();
  readonly #admin: HTMLInputElement;
  readonly #trouble = el("p", { class: "trouble", role: "alert" });
  readonly #submit: HTMLButtonElement;
  readonly #dialog: HTMLDialogElement;

  constructor(purpose: Purpose, save: (terms: KeyTerms) => Promise<void>) {
    const { key, first, title, deed } = purpose;
    this.#purpose = purpose;
    this.#save = save;
    this.#admin = el("input", { type: "checkbox", checked: first || key?.admin, disabled: first });
    this.#submit = el("button", { type: "submit", class: "primary" }, deed);
    const form = el(
      "form",
      { class: "key-form", onsubmit: (event: SubmitEvent) => void this.#send(event) },
      ...FIELDS.map((field) => this.#field(field)),
      el("label", { class: "check" }, this.#admin, "Admin: may make keys and see everyone’s streams and usage"),
      first &&
        el(
          "p",
          { class: "note" },
          "This is the first key: from then on the server asks everybody for one, so it is an admin’s. This page signs in with it.",
        ),
      this.#trouble,
      el(
        "div",
        { class: "buttons" },
        el("button", { type: "button", onclick: () => this.#dialog.close() }, "Leave"),
        this.#submit,
      ),
    );
    this.#dialog = openDialog(title, form);
  }

  #field({ name, label, hint, attributes }: Field): HTMLElement {
    const id = `field-${name}`;
    const input = el("input", {
      id,
      type: "text",
      autocomplete: "off",
      spellcheck: "false",
      "aria-describedby": `${id}-hint`,
      ...attributes,
    });
    input.value = written(this.#purpose.key, name);
    this.#inputs.set(name, input);
    return el(
      "div",
      { class: "field" },
      el("label", { for: id }, label),
      input,
      el("small", { id: `${id}-hint` }, hint),
    );
  }

  async #send(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    this.#submit.disabled = true;
    try {
      await this.#save(this.#terms());
      this.#dialog.close();
    } catch (error) {
      this.#complain(error);
    } finally {
      this.#submit.disabled = false;
    }
  }

  /** Only what was changed: what the form does not know of stays as it is. */
  #terms(): KeyTerms {
    const { key } = this.#purpose;
    const changed = [...this.#inputs].filter(
      ([name, input]) => input.value.trim() !== written(key, name as keyof KeyTerms),
    );
    const terms = Object.fromEntries(
      changed.map(([name, input]) => [name, read(name as keyof KeyTerms, input.value.trim())]),
    );
    return this.#admin.checked === (key?.admin ?? false) ? terms : { ...terms, admin: this.#admin.checked };
  }

  #complain(error: unknown): void {
    this.#trouble.textContent = error instanceof Error ? error.message : String(error);
    for (const input of this.#inputs.values()) input.removeAttribute("aria-invalid");
    const input = this.#inputs.get((error instanceof TailraceError && error.field?.split(".")[0]) || "");
    input?.setAttribute("aria-invalid", "true");
    input?.focus();
  }
}

/** A field as the form writes it. */
function written(key: Key | undefined, name: keyof KeyTerms): string {
  if (key === undefined) return "";
  if (name === "models") return key.models?.join(", ") ?? "";
  if (name === "expires") return key.expires_at === null ? "" : new Date(key.expires_at * 1000).toISOString();
  return String(key[name] ?? "");
}

function read(name: keyof KeyTerms, text: string): string | number | readonly string[] | null {
  if (text === "") return name === "name" ? "" : null;
  if (NUMBERS.includes(name)) return Number(text);
  return name === "models"
    ? text
        .split(",")
        .map((model) => model.trim())
        .filter(Boolean)
    : text;
}

/** Show a new key, this once; settles when the dialog is closed. */
export function showSecret({ name, key }: { readonly name: string; readonly key: string }): Promise<void> {
  const text = el("input", { type: "text", readonly: true, "aria-label": `The key of ${name}`, class: "secret" });
  text.value = key;
  const copied = el("span", { role: "status" });
  const copy = async (): Promise<void> => {
    copied.textContent = (await copyText(text)) ? "Copied." : "It is selected: copy it by hand.";
  };
  const content: readonly Child[] = [
    el("p", {}, "It is shown this once: only its checksum is kept."),
    el(
      "div",
      { class: "copying" },
      text,
      el("button", { type: "button", class: "primary", onclick: () => void copy() }, "Copy"),
    ),
    copied,
    el("div", { class: "buttons" }, el("button", { type: "button", onclick: () => dialog.close() }, "I have it")),
  ];
  const dialog = openDialog(`The key of ${name}`, ...content);
  text.select();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve()));
}

/** A page that came over plain HTTP from another machine has no clipboard. */
async function copyText(input: HTMLInputElement): Promise<boolean> {
  input.select();
  try {
    await navigator.clipboard.writeText(input.value);
    return true;
  } catch {
    return false;
  }
}
