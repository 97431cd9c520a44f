/** The few figures that say at a glance how it goes. */

import { el } from "../shared/dom.ts";
import { count, duration, usd } from "../shared/numbers.ts";
import type { Overview, Percentiles } from "./api.ts";
import type { Sums } from "./usage.ts";

type Name = "running" | "rate" | "first" | "between" | "answers" | "tokens" | "cost" | "aborted";

const TITLES: Readonly<Record<Name, string>> = {
  running: "Streams now",
  rate: "Tokens/s now",
  first: "First token",
  between: "Between tokens",
  answers: "Answers",
  tokens: "Output tokens",
  cost: "Cost",
  aborted: "Aborted",
};

/** The strip of figures on top of the page. */
export class Facts {
  readonly element: HTMLElement;
  readonly #values = {} as Record<Name, HTMLElement>;
  readonly #notes = {} as Record<Name, HTMLElement>;

  constructor() {
    const names = Object.keys(TITLES) as Name[];
    this.element = el("dl", { class: "facts" }, ...names.map((name) => this.#fact(name)));
  }

  showNow({ running, streams, latency }: Overview, rate: number): void {
    const readers = streams.reduce((sum, stream) => sum + (stream.readers ?? 0), 0);
    this.#set("running", count(running), `${count(readers)} ${readers === 1 ? "reader" : "readers"}`);
    this.#set("rate", rate < 100 ? rate.toFixed(1) : count(Math.round(rate)), "of all streams");
    this.#set("first", ...percentiles(latency.first_token_ms));
    this.#set("between", ...percentiles(latency.between_tokens_ms));
  }

  showSums(sums: Sums, range: string): void {
    const { answers, tokens, cost, unpriced, aborted } = sums;
    this.#set("answers", count(answers), range);
    this.#set("tokens", count(tokens), range);
    this.#set("cost", usd(cost), unpriced > 0 ? `${range}, ${count(unpriced)} without a price` : range);
    this.#set(
      "aborted",
      answers === 0 ? "–" : `${((aborted / answers) * 100).toFixed(1)} %`,
      `${count(aborted)} of ${count(answers)}, ${range}`,
    );
  }

  #fact(name: Name): HTMLElement {
    this.#values[name] = el("dd", { "data-fact": name }, "–");
    this.#notes[name] = el("dd", { class: "note" });
    return el("div", {}, el("dt", {}, TITLES[name]), this.#values[name], this.#notes[name]);
  }

  #set(name: Name, value: string, note: string): void {
    if (this.#values[name].textContent !== value) this.#values[name].textContent = value;
    if (this.#notes[name].textContent !== note) this.#notes[name].textContent = note;
  }
}

function percentiles({ p50, p90, p99 }: Percentiles): [string, string] {
  if (p50 === null) return ["–", "this process"];
  return [show(p50), `p90 ${show(p90!)}, p99 ${show(p99!)}, this process`];
}

function show(ms: number): string {
  return ms < 10 ? `${ms.toFixed(1)} ms` : duration(ms);
}
