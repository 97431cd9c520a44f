/** The line under an answer: the model, the time to its first token, its speed, its tokens, its cost. */

import type { GenerationRow } from "tailrace/api";

import { el } from "../shared/dom.ts";
import { count, duration, rate, usd } from "../shared/numbers.ts";

/** A speed over less than this says more about the clock. */
const MEASURABLE_MS = 50;

/** What an answer took, measured here while it streams; what is not known is left out. */
export interface Progress {
  readonly firstTokenMs?: number | undefined;
  readonly tokens: number;
  readonly elapsedMs?: number | undefined;
}

export class FiguresLine {
  readonly element = el("p", { class: "figures" });

  /** While it streams. */
  showProgress({ firstTokenMs, tokens, elapsedMs }: Progress): void {
    this.#show([
      firstTokenMs !== undefined && figure("first token", duration(firstTokenMs)),
      elapsedMs !== undefined && elapsedMs >= MEASURABLE_MS && figure("speed", `${rate(tokens, elapsedMs)} tokens/s`),
      tokens > 0 && figure("length", `${count(tokens)} tokens`),
    ]);
  }

  /** As the ledger has it. */
  showRow(row: GenerationRow): void {
    const { model, ttft_ms: first, duration_ms: whole, output_tokens: tokens, cost_usd: cost, source } = row;
    const streaming = first !== null && whole !== null ? whole - first : 0;
    const about = source === "estimated" ? "about " : "";
    this.#show([
      figure("model", model),
      first !== null && figure("first token", duration(first)),
      tokens !== null && streaming >= MEASURABLE_MS && figure("speed", `${rate(tokens, streaming)} tokens/s`),
      tokens !== null && figure("length", `${about}${count(tokens)} tokens`),
      figure("cost", cost === null ? "no price" : usd(cost)),
    ]);
  }

  #show(figures: readonly (HTMLElement | false)[]): void {
    this.element.replaceChildren(...figures.filter((shown) => shown !== false));
  }
}

function figure(name: string, value: string): HTMLElement {
  return el(
    "span",
    { title: name, "data-figure": name.replace(" ", "-") },
    name === "first token" ? `${value} to first token` : value,
  );
}
