/** The chat: its conversations, the one that is open, and the field below. */

import { el, icon } from "../shared/dom.ts";
import { pass } from "../shared/door.ts";
import { Drawer } from "../shared/drawer.ts";
import { menu } from "../shared/menu.ts";
import { signOut, type Visitor } from "../shared/visitor.ts";
import { newAddress, readAddress, type Address } from "./address.ts";
import { Composer } from "./composer.ts";
import { knownModels, ModelPicker, refreshModels } from "./models.ts";
import { Sidebar } from "./sidebar.ts";
import { hearTabs, tellTabs } from "./tabs.ts";
import { Thread } from "./thread.ts";
import { explain } from "./troubles.ts";
import { welcome, type Example } from "./welcome.ts";

export const DOOR = {
  title: "Sign in to tailrace",
  advice:
    "This server needs a key. It is not kept: for twelve hours this browser has a cookie that no script can read.",
};

export class App {
  readonly #sidebar = new Sidebar((address) => address.hash === this.#address.hash && this.#goTo(newAddress(false)));
  readonly #composer = new Composer({ send: (text) => this.#send(text), stop: () => this.#stop() });
  readonly #threads = el("main", { class: "threads" });
  readonly #compare: HTMLButtonElement;
  readonly #shell = el("div", { class: "shell" });
  #address: Address = readAddress() ?? newAddress(false);
  #open: Thread[] = [];
  #signingIn: Promise<unknown> | undefined;

  constructor(visitor: Visitor) {
    this.#compare = el(
      "button",
      { type: "button", "aria-pressed": "false", onclick: () => this.#toggleComparison() },
      icon("M4 5h7v14H4zM13 5h7v14h-7z"),
      "Compare",
    );
    const side = this.#side(visitor);
    this.#shell.append(side, this.#main(side));
  }

  /** Take the page over. */
  async start(): Promise<void> {
    document.body.append(this.#shell);
    await refreshModels().catch(() => {});
    window.addEventListener("hashchange", () => void this.#show(readAddress() ?? newAddress(false)));
    document.addEventListener("keydown", (event) => this.#press(event));
    document.addEventListener("visibilitychange", () => document.hidden || void this.#sidebar.refresh());
    hearTabs((session) => void this.#hear(session));
    await Promise.all([this.#sidebar.refresh(), this.#show(this.#address)]);
  }

  // The page

  #side(visitor: Visitor): HTMLElement {
    const fresh = el(
      "button",
      { type: "button", class: "primary", onclick: () => this.#goTo(newAddress(false)) },
      "New chat",
    );
    const out = async (): Promise<void> => {
      await signOut();
      location.reload();
    };
    return el(
      "aside",
      { class: "side", id: "side" },
      el(
        "a",
        { class: "brand", href: "./", "aria-label": "tailrace: new chat" },
        el("img", { src: "assets/icon.svg", alt: "" }),
        "tailrace",
      ),
      fresh,
      this.#sidebar.element,
      menu({ here: "chat", visitor, signOut: () => void out() }),
    );
  }

  #main(side: HTMLElement): HTMLElement {
    const { button } = new Drawer(this.#shell, side, "Conversations");
    const header = el("header", { class: "top" }, button, el("h1", {}, "Chat"), this.#compare);
    return el("div", { class: "body" }, header, this.#threads, this.#composer.element);
  }

  // Which conversation

  #goTo(address: Address): void {
    history.pushState(null, "", address.hash);
    void this.#show(address);
  }

  async #show(address: Address): Promise<void> {
    for (const thread of this.#open) thread.leave();
    this.#address = address;
    history.replaceState(null, "", address.hash);
    this.#open = address.sessions.map((id, place) => this.#thread(id, place));
    this.#threads.replaceChildren(...this.#open.map(({ element }) => element));
    this.#threads.classList.toggle("paired", this.#open.length > 1);
    this.#compare.setAttribute("aria-pressed", String(this.#open.length > 1));
    this.#composer.open(address.hash, this.#open.length > 1 ? "Ask both models" : "Ask something");
    this.#update();
    this.#composer.focus();
    if (!address.fresh) await Promise.all(this.#open.map((thread) => this.#load(thread)));
    if (this.#address === address) this.#showWelcome();
  }

  #thread(id: string, place: number): Thread {
    const label = this.#address.sessions.length > 1 ? `Model ${place + 1}` : "Model";
    const picker = new ModelPicker(label, place === 0 ? "tailrace.model" : "tailrace.model.second");
    if (place === 1 && picker.model === "") picker.choose(knownModels()[1] ?? "");
    return new Thread(id, picker, {
      changed: () => this.#update(),
      kept: (thread) => this.#kept(thread),
      signIn: () => this.#signIn(),
    });
  }

  async #load(thread: Thread): Promise<void> {
    try {
      await thread.load();
    } catch (error) {
      const { title, advice, said } = explain(error);
      const retry = el("button", { type: "button", onclick: () => void this.#show(this.#address) }, "Try again");
      const words = el("p", {}, el("strong", {}, title), ". ", advice);
      thread.element.append(
        el("div", { class: "notice", role: "alert" }, words, said && el("p", { class: "said" }, said), retry),
      );
    }
  }

  #showWelcome(): void {
    this.#threads.querySelector(".welcome")?.remove();
    const single = this.#open.length === 1 && this.#open[0]!.empty && !this.#open[0]!.busy;
    if (single) this.#open[0]!.element.append(welcome((example) => this.#try(example)));
  }

  #toggleComparison(): void {
    this.#goTo(newAddress(this.#open.length === 1));
  }

  /** Another tab has changed this conversation: show it as it is now, unless it is being answered here. */
  async #hear(session: string): Promise<void> {
    void this.#sidebar.refresh();
    const thread = this.#open.find(({ id }) => id === session);
    if (thread === undefined || thread.busy) return;
    await this.#load(thread);
    this.#showWelcome();
  }

  // Asking

  #send(text: string): void {
    this.#threads.querySelector(".welcome")?.remove();
    for (const thread of this.#open) thread.send(text);
  }

  #try({ prompt, model }: Example): void {
    this.#open[0]?.picker.choose(model);
    this.#send(prompt);
  }

  #stop(): void {
    for (const thread of this.#open) void thread.stop();
  }

  #press(event: KeyboardEvent): void {
    if (event.key === "Escape" && document.querySelector("dialog[open]") === null) this.#stop();
  }

  #kept(thread: Thread): void {
    this.#composer.forget();
    tellTabs(thread.id);
    void this.#sidebar.refresh().then(() => this.#update());
  }

  #update(): void {
    const busy = this.#open.some((thread) => thread.busy);
    this.#composer.setBusy(busy);
    this.#sidebar.mark(this.#address.hash);
    const title = this.#sidebar.title(this.#address.hash);
    document.title = title === undefined ? "tailrace" : `${title} · tailrace`;
    this.#shell.querySelector("h1")!.textContent = title ?? "New chat";
  }

  async #signIn(): Promise<void> {
    await (this.#signingIn ??= pass(DOOR).finally(() => (this.#signingIn = undefined)));
    await this.#sidebar.refresh();
  }
}
