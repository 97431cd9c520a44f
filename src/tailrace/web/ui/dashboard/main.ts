/** The dashboard: who streams what, what it costs, how the upstreams do, and the keys. */

import { TailraceError } from "tailrace";

import { el } from "../shared/dom.ts";
import { pass } from "../shared/door.ts";
import { menu } from "../shared/menu.ts";
import "../shared/theme.ts";
import { signIn, signOut, type Visitor } from "../shared/visitor.ts";
import { overview } from "./api.ts";
import { Facts } from "./facts.ts";
import { Keys } from "./keys.ts";
import { Live } from "./live.ts";
import { Poll } from "./polling.ts";
import { Spend } from "./spend.ts";
import { Upstreams } from "./upstreams.ts";
import { Usage } from "./usage.ts";
import { Waiting } from "./waiting.ts";

const NOW_MS = 1500;
const LEDGER_MS = 10_000;
const DOOR = {
  title: "Sign in to the dashboard",
  advice: "It takes an admin key: one made with tailrace keys create --admin, or TAILRACE_ADMIN_KEY.",
};
const SECTIONS = {
  live: "Live",
  usage: "Usage",
  waiting: "Waiting",
  spend: "Spending",
  upstreams: "Upstreams",
  keys: "Keys",
};

class Dashboard {
  readonly #facts = new Facts();
  readonly #trouble = el("p", { class: "outage", role: "alert", hidden: true });
  readonly #live = new Live(() => this.#refresh());
  readonly #usage = new Usage(() => this.#ledger.now());
  readonly #waiting = new Waiting();
  readonly #spend = new Spend();
  readonly #upstreams = new Upstreams();
  readonly #keys: Keys;
  readonly #now = new Poll(
    () => this.#lookAround(),
    NOW_MS,
    (error) => void this.#fail(error),
  );
  readonly #ledger = new Poll(
    () => this.#readLedger(),
    LEDGER_MS,
    (error) => void this.#fail(error),
  );
  readonly #visitor: Visitor;
  #admitting = false;

  constructor(visitor: Visitor) {
    this.#visitor = visitor;
    this.#keys = new Keys({
      open: () => this.#visitor.open,
      signIn: (key) => signIn(key).catch((error: unknown) => this.#fail(error)),
      changed: () => this.#refresh(),
    });
  }

  start(): void {
    const sections = [this.#live, this.#usage, this.#waiting, this.#spend, this.#upstreams, this.#keys];
    const main = el("main", {}, this.#trouble, this.#facts.element, ...sections.map((section) => section.element));
    document.body.replaceChildren(header(this.#visitor, SECTIONS), main);
    this.#now.start();
    this.#ledger.start();
  }

  async #lookAround(): Promise<void> {
    const seen = await overview();
    await this.#live.show(seen);
    this.#facts.showNow(seen, this.#live.rates.sum);
    this.#upstreams.show(seen);
    const trouble = seen.draining ? "The server is stopping: it takes no new streams." : "";
    this.#say(seen.ledger_answers ? trouble : "The database does not answer: only this process’s streams are shown.");
  }

  async #readLedger(): Promise<void> {
    const [sums] = await Promise.all([
      this.#usage.refresh(),
      this.#waiting.refresh(this.#usage.since),
      this.#spend.refresh(),
      this.#keys.refresh(),
    ]);
    if (sums !== undefined) this.#facts.showSums(sums, this.#usage.rangeName);
  }

  #refresh(): void {
    this.#now.now();
    this.#ledger.now();
  }

  async #fail(error: unknown): Promise<void> {
    const refused = error instanceof TailraceError && (error.status === 401 || error.status === 403);
    if (refused) return this.#admitAnew();
    this.#say(`What is shown is old: ${error instanceof Error ? error.message : error}. Trying again.`);
  }

  /** The sign-in has run out, or its key is revoked: what is on the page stays, behind the door. */
  async #admitAnew(): Promise<void> {
    if (this.#admitting) return;
    this.#admitting = true;
    const visitor = await pass(DOOR);
    this.#admitting = false;
    if (visitor.admin) this.#refresh();
    else location.reload();
  }

  #say(trouble: string): void {
    if (this.#trouble.textContent !== trouble) this.#trouble.textContent = trouble;
    this.#trouble.hidden = trouble === "";
  }
}

function header(visitor: Visitor, sections: Readonly<Record<string, string>>): HTMLElement {
  const links = Object.entries(sections).map(([id, name]) => el("a", { href: `dashboard#${id}` }, name));
  const brand = el("a", { class: "brand", href: "./" }, el("img", { src: "assets/icon.svg", alt: "" }), "tailrace");
  return el(
    "header",
    { class: "masthead" },
    el("h1", {}, brand, el("span", { class: "hidden" }, " dashboard")),
    links.length > 0 && el("nav", { "aria-label": "Sections" }, ...links),
    el("span", { class: "who" }, visitor.open ? "open to this machine" : visitor.name),
    menu({ here: "dashboard", visitor, signOut: () => void leave() }),
  );
}

async function leave(): Promise<void> {
  await signOut();
  location.reload();
}

/** Somebody came with a key that may not look at everybody's streams. */
function turnAway(visitor: Visitor): void {
  const main = el(
    "main",
    { class: "away" },
    el("h2", {}, "This needs an admin key"),
    el(
      "p",
      {},
      `You are signed in as ${visitor.name}, whose key may chat and see its own usage. The dashboard shows everyone’s streams and keys, so it asks for an admin key.`,
    ),
    el(
      "p",
      {},
      el("button", { type: "button", class: "primary", onclick: () => void leave() }, "Sign in with another key"),
      " ",
      el("a", { href: "./" }, "To the chat"),
    ),
  );
  document.body.replaceChildren(header(visitor, {}), main);
}

const visitor = await pass(DOOR);
if (visitor.admin) new Dashboard(visitor).start();
else turnAway(visitor);
