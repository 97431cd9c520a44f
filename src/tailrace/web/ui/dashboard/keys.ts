/** The keys: listed, made, limited, revoked. */

import { el } from "../shared/dom.ts";
import { count } from "../shared/numbers.ts";
import { changeKey, keys, makeKey, revokeKey, type Key } from "./api.ts";
import { confirm } from "./dialogs.ts";
import { editKey, showSecret } from "./key_dialogs.ts";
import { date } from "./moments.ts";
import { Table } from "./table.ts";

/** What the keys need of the page. */
export interface Surroundings {
  /** No key exists: the first one closes the server, and must be an admin's. */
  readonly open: () => boolean;
  /** Go on with this key. */
  readonly signIn: (key: string) => Promise<void>;
  /** Something has changed. */
  readonly changed: () => void;
}

/** The section of the keys. */
export class Keys {
  readonly element: HTMLElement;
  readonly #around: Surroundings;
  readonly #table: Table<Key>;
  readonly #buttons = new Map<string, HTMLElement>();
  readonly #all = el("input", { type: "checkbox", onchange: () => this.#show() });
  readonly #trouble = el("p", { class: "trouble", role: "alert" });
  #keys: readonly Key[] = [];

  constructor(around: Surroundings) {
    this.#around = around;
    this.#table = new Table("Keys", this.#columns(), ({ id }) => id, "No key has been made.");
    const make = el("button", { type: "button", class: "primary", onclick: () => this.#make() }, "Make a key");
    this.element = el(
      "section",
      { id: "keys", "aria-labelledby": "keys-title" },
      el(
        "header",
        {},
        el("h2", { id: "keys-title" }, "Keys"),
        el("div", { class: "choices" }, el("label", { class: "check" }, this.#all, "Show revoked keys"), make),
      ),
      this.#trouble,
      this.#table.element,
    );
  }

  async refresh(): Promise<void> {
    this.#keys = await keys();
    this.#show();
  }

  #show(): void {
    const shown = this.#keys.filter((key) => this.#all.checked || key.revoked_at === null);
    this.#table.show([...shown].reverse(), (key) => (key.revoked_at === null ? "" : "ended"));
  }

  #columns() {
    return [
      { name: "Name", cell: ({ name }: Key) => name },
      { name: "Id", cell: ({ id }: Key) => id },
      { name: "Role", cell: ({ admin }: Key) => (admin ? "admin" : "–") },
      { name: "Requests/min", figure: true, cell: ({ rpm }: Key) => limit(rpm) },
      { name: "Tokens/min", figure: true, cell: ({ tpm }: Key) => limit(tpm) },
      { name: "Streams", figure: true, cell: ({ max_streams }: Key) => limit(max_streams) },
      { name: "Budget", figure: true, cell: ({ budget_usd }: Key) => (budget_usd === null ? "–" : `$${budget_usd}`) },
      { name: "Models", cell: ({ models }: Key) => models?.join(", ") ?? "all" },
      { name: "Expires", cell: ({ expires_at }: Key) => (expires_at === null ? "never" : date(expires_at)) },
      { name: "State", cell: (key: Key) => stateOf(key) },
      { name: "Actions", silent: true, cell: (key: Key) => key.revoked_at === null && this.#actions(key) },
    ];
  }

  #actions(key: Key): HTMLElement {
    const kept = this.#buttons.get(key.id);
    if (kept !== undefined) return kept;
    const edit = { type: "button", "aria-label": `Change ${key.name}`, onclick: () => this.#edit(key.id) };
    const revoke = {
      type: "button",
      class: "danger",
      "aria-label": `Revoke ${key.name}`,
      onclick: () => void this.#revoke(key),
    };
    const buttons = el("div", { class: "actions" }, el("button", edit, "Change"), el("button", revoke, "Revoke"));
    this.#buttons.set(key.id, buttons);
    return buttons;
  }

  #make(): void {
    const first = this.#around.open();
    editKey({ title: "Make a key", deed: "Make the key", first }, async (terms) => {
      void this.#hand(await makeKey(terms), first);
    });
  }

  async #hand(made: { readonly name: string; readonly key: string }, first: boolean): Promise<void> {
    if (first) await this.#around.signIn(made.key);
    this.#around.changed();
    await showSecret(made);
    if (first) location.reload();
  }

  #edit(id: string): void {
    const key = this.#keys.find((other) => other.id === id);
    if (key === undefined) return;
    editKey({ title: `Change ${key.name}`, deed: "Save", key }, async (terms) => {
      await changeKey(id, terms);
      this.#buttons.delete(id);
      this.#around.changed();
    });
  }

  async #revoke({ id, name }: Key): Promise<void> {
    const explanation = `${name} stops working for good within two seconds, and its running streams end.`;
    if (!(await confirm("Revoke this key?", explanation, "Revoke the key"))) return;
    try {
      await revokeKey(id);
      this.#trouble.textContent = "";
    } catch (error) {
      this.#trouble.textContent = `${name} could not be revoked: ${error instanceof Error ? error.message : error}`;
    }
    this.#around.changed();
  }
}

function limit(value: number | null): string {
  return value === null ? "–" : count(value);
}

function stateOf({ revoked_at, expires_at }: Key): string {
  if (revoked_at !== null) return `revoked ${date(revoked_at)}`;
  return expires_at !== null && expires_at * 1000 < Date.now() ? "expired" : "valid";
}
