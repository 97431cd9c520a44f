/** The streams that run: who, what, how fast, how long; each can be watched and cancelled. */

import { client } from "../shared/client.ts";
import { el } from "../shared/dom.ts";
import { count, duration, usd } from "../shared/numbers.ts";
import type { LiveStream, Overview } from "./api.ts";
import { confirm } from "./dialogs.ts";
import { Endings } from "./endings.ts";
import { span } from "./moments.ts";
import { Rates } from "./rates.ts";
import { Table } from "./table.ts";
import { Watch } from "./watch.ts";

interface Line {
  readonly stream: LiveStream;
  readonly status: string;
  readonly age: number;
}

/** The section of the live streams. `ended` is called when some have ended. */
export class Live {
  readonly element: HTMLElement;
  readonly rates = new Rates();
  readonly #endings = new Endings();
  readonly #watching = el("div", { class: "watching" });
  readonly #count = el("span", { class: "badge" }, "0");
  readonly #trouble = el("p", { class: "trouble", role: "alert" });
  readonly #more = el("p", { class: "note", hidden: true });
  readonly #buttons = new Map<string, HTMLElement>();
  readonly #table: Table<Line>;
  readonly #ended: () => void;
  #watch: Watch | undefined;

  constructor(ended: () => void) {
    this.#ended = ended;
    this.#table = new Table("Live streams", this.#columns(), (line) => line.stream.id, "Nothing streams right now.");
    const title = el("h2", { id: "live-title" }, "Live streams ", this.#count);
    this.element = el(
      "section",
      { id: "live", "aria-labelledby": "live-title" },
      title,
      this.#trouble,
      this.#table.element,
      this.#more,
      this.#watching,
    );
  }

  async show(overview: Overview): Promise<void> {
    const { streams, now, running } = overview;
    this.rates.look(streams, now);
    const ended = await this.#endings.look(streams, now);
    this.#count.textContent = count(running);
    this.#more.hidden = running <= streams.length;
    this.#more.textContent = `The newest ${streams.length} are shown.`;
    this.#table.show(this.#lines(overview), (line) => (line.status === "running" ? "" : "ended"));
    this.#forget(streams);
    if (ended) this.#ended();
  }

  #lines({ streams, now }: Overview): Line[] {
    const running = streams.map((stream) => ({ stream, status: "running", age: now - stream.created_at }));
    const ids = new Set(streams.map((stream) => stream.id));
    const ended = this.#endings.list.filter(({ stream }) => !ids.has(stream.id));
    const lines = [
      ...running,
      ...ended.map(({ stream, status, ended_at }) => ({ stream, status, age: ended_at - stream.created_at })),
    ];
    return lines.sort((one, other) => other.stream.created_at - one.stream.created_at);
  }

  #columns() {
    return [
      { name: "Key", cell: ({ stream }: Line) => stream.key_name ?? stream.key_id ?? "the application" },
      { name: "User", cell: ({ stream }: Line) => stream.user ?? "–" },
      { name: "Model", cell: ({ stream }: Line) => stream.model },
      { name: "Provider", cell: ({ stream }: Line) => stream.provider },
      { name: "Tokens", figure: true, cell: ({ stream }: Line) => count(stream.output_tokens) },
      { name: "Tokens/s", figure: true, cell: (line: Line) => this.#speed(line) },
      { name: "First token", figure: true, cell: ({ stream }: Line) => wait(stream) },
      {
        name: "Cost",
        figure: true,
        cell: ({ stream }: Line) => (stream.cost_usd === null ? "–" : usd(stream.cost_usd)),
      },
      { name: "Age", figure: true, cell: ({ age }: Line) => span(age) },
      { name: "Readers", figure: true, cell: ({ stream }: Line) => String(stream.readers ?? "–") },
      { name: "Status", cell: ({ status }: Line) => status },
      { name: "Actions", silent: true, cell: (line: Line) => line.status === "running" && this.#actions(line.stream) },
    ];
  }

  #speed({ stream, status }: Line): string {
    return status === "running" ? this.rates.of(stream.id).toFixed(1) : "–";
  }

  #actions(stream: LiveStream): HTMLElement {
    const kept = this.#buttons.get(stream.id);
    if (kept !== undefined) return kept;
    const whose = `the stream of ${stream.key_name ?? "the application"} with ${stream.model}`;
    const buttons = el(
      "div",
      { class: "actions" },
      el("button", { type: "button", "aria-label": `Watch ${whose}`, onclick: () => this.#open(stream) }, "Watch"),
      el(
        "button",
        { type: "button", class: "danger", "aria-label": `Cancel ${whose}`, onclick: () => void this.cancel(stream) },
        "Cancel",
      ),
    );
    this.#buttons.set(stream.id, buttons);
    return buttons;
  }

  #open(stream: LiveStream): void {
    this.#watch?.close();
    const back = (): void => this.#buttons.get(stream.id)?.querySelector("button")?.focus();
    this.#watch = new Watch(stream, () => this.cancel(stream), back);
    this.#watching.replaceChildren(this.#watch.element);
    this.#watch.focus();
  }

  /** Ask whether it is meant, then end a stream. */
  async cancel(stream: LiveStream): Promise<void> {
    const whose = stream.key_name ?? "the application";
    const explanation = `The answer of ${stream.model} for ${whose} ends for all its readers. What has come is billed.`;
    if (!(await confirm("Cancel this stream?", explanation, "Cancel the stream"))) return;
    try {
      await client.cancel(stream.id);
      this.#trouble.textContent = "";
    } catch (error) {
      this.#trouble.textContent = `It could not be cancelled: ${error instanceof Error ? error.message : error}`;
    }
    this.#ended();
  }

  #forget(streams: readonly LiveStream[]): void {
    const ids = new Set(streams.map((stream) => stream.id));
    for (const id of this.#buttons.keys()) if (!ids.has(id)) this.#buttons.delete(id);
  }
}

function wait(stream: LiveStream): string {
  return stream.ttft_ms === null ? "–" : duration(stream.ttft_ms);
}
