/** The conversations that the server keeps, the last used first. */

import { deleteSession, sessions as askSessions, type Session } from "tailrace/api";

import { client } from "../shared/client.ts";
import { el, icon } from "../shared/dom.ts";
import { addressOf, type Address } from "./address.ts";

const TWO = "M4 5h7v14H4zM13 5h7v14h-7z";
const PAGE = 50;
const SURE_MS = 4000;

/** A conversation of the list; a comparison is one, though the server keeps two. */
interface Entry {
  readonly address: Address;
  readonly title: string;
}

export class Sidebar {
  readonly element = el("nav", { class: "sessions", "aria-label": "Conversations" });
  readonly #list = el("ul");
  readonly #more = el("button", { type: "button", class: "quiet", hidden: true }, "Show older ones");
  readonly #forgotten: (address: Address) => void;
  #sessions: readonly Session[] = [];
  #cursor: string | null = null;
  #current = "";

  /** `forgotten` hears of each that was deleted. */
  constructor(forgotten: (address: Address) => void) {
    this.#forgotten = forgotten;
    this.#more.addEventListener("click", () => void this.#showMore());
    this.element.append(this.#list, this.#more);
  }

  /** Ask the server anew; as it was where it can't be asked. */
  async refresh(): Promise<void> {
    const page = await askSessions(client, { limit: PAGE }).catch(() => undefined);
    if (page === undefined) return;
    this.#sessions = page.data;
    this.#cursor = page.next_cursor;
    this.#show();
  }

  /** Mark the one that the page shows. */
  mark(hash: string): void {
    this.#current = hash;
    for (const link of this.#list.querySelectorAll("a")) {
      if (link.getAttribute("href") === hash) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }

  /** The title of a conversation; undefined while the server has none. */
  title(hash: string): string | undefined {
    return this.#entries().find(({ address }) => address.hash === hash)?.title;
  }

  async #showMore(): Promise<void> {
    if (this.#cursor === null) return;
    const page = await askSessions(client, { limit: PAGE, cursor: this.#cursor });
    this.#sessions = [...this.#sessions, ...page.data];
    this.#cursor = page.next_cursor;
    this.#show();
  }

  #entries(): Entry[] {
    const found = new Map<string, Entry>();
    for (const { id, title } of this.#sessions) {
      const address = addressOf(id);
      if (!found.has(address.hash)) found.set(address.hash, { address, title: title.trim() || "Untitled" });
    }
    return [...found.values()];
  }

  #show(): void {
    this.#list.replaceChildren(...this.#entries().map((entry) => this.#item(entry)));
    this.#more.hidden = this.#cursor === null;
  }

  #item({ address, title }: Entry): HTMLElement {
    const current = address.hash === this.#current ? "page" : undefined;
    const paired = address.sessions.length > 1;
    const name = paired ? `${title} (two models compared)` : title;
    const link = el("a", { href: address.hash, "aria-current": current, title: name }, paired && icon(TWO), title);
    const remove = el(
      "button",
      { type: "button", class: "quiet", "aria-label": `Delete “${title}”` },
      icon("M6 6l12 12M18 6L6 18"),
    );
    remove.addEventListener("click", () => void this.#remove(address, remove));
    return el("li", {}, link, remove);
  }

  /** The first press asks, the second deletes. */
  async #remove(address: Address, button: HTMLButtonElement): Promise<void> {
    if (!button.classList.contains("sure")) {
      button.classList.add("sure");
      button.textContent = "Delete?";
      button.setAttribute("aria-label", "Press again to delete");
      setTimeout(() => button.isConnected && this.#show(), SURE_MS);
      return;
    }
    const gone = address.sessions.map((id) => deleteSession(client, id).catch(() => {}));
    await Promise.all(gone);
    this.#forgotten(address);
    await this.refresh();
  }
}
