/** How long people wait: the percentiles of each model's answers, as figures and as spans on one scale. */

import { el, svgElement } from "../shared/dom.ts";
import { count, duration } from "../shared/numbers.ts";
import { latencies, type Latency, type Spread } from "./api.ts";
import { Table, type Column } from "./table.ts";

const PERCENTILES = ["p50", "p90", "p99"] as const;
const NOTE =
  "From the ledger’s rows. A span goes from p50 to p99, with a mark at p90; from one line of the scale to the next it is ten times as long. Between tokens: each answer’s mean.";

/** One of the two waits. */
interface Wait {
  readonly name: string;
  readonly spread: (latency: Latency) => Spread | null;
  readonly show: (ms: number) => string;
  readonly kind: string;
}

const WAITS: readonly Wait[] = [
  { name: "First token", kind: "first", spread: (latency) => latency.first_token_ms, show: duration },
  { name: "Between tokens", kind: "between", spread: (latency) => latency.between_tokens_ms, show: fine },
];

/** The section of the waiting times. */
export class Waiting {
  readonly element: HTMLElement;
  readonly #scales = new Map<string, Scale>();
  readonly #table: Table<Latency>;

  constructor() {
    const columns: Column<Latency>[] = [
      { name: "Model", cell: ({ model }) => model ?? "All models" },
      { name: "Answers", figure: true, cell: ({ first_token_ms }) => count(first_token_ms?.answers ?? 0) },
      ...WAITS.flatMap((wait) => this.#columns(wait)),
    ];
    const id = ({ model }: Latency): string => model ?? "\0all";
    this.#table = new Table("Waiting times by model", columns, id, "No answers in this range.");
    this.element = el(
      "section",
      { id: "waiting", "aria-labelledby": "waiting-title" },
      el("h2", { id: "waiting-title" }, "Waiting times"),
      this.#table.element,
      el("p", { class: "note" }, NOTE),
    );
  }

  async refresh(since: number): Promise<void> {
    const found = await latencies(since);
    for (const { kind, spread } of WAITS) this.#scales.set(kind, new Scale(found.map(spread)));
    this.#table.show(found);
  }

  #columns({ name, kind, spread, show }: Wait): Column<Latency>[] {
    const drawn = { name, cell: (latency: Latency) => drawSpan(spread(latency), kind, this.#scales.get(kind)!) };
    const figures = PERCENTILES.map((percentile) => ({
      name: percentile,
      of: name,
      figure: true,
      cell: (latency: Latency) => {
        const ms = spread(latency)?.[percentile];
        return ms === undefined ? "–" : show(ms);
      },
    }));
    return [drawn, ...figures];
  }
}

/** A scale of powers of ten that holds all the spreads; places are hundredths of its width. */
class Scale {
  readonly #first: number;
  readonly #last: number;

  constructor(spreads: readonly (Spread | null)[]) {
    const known = spreads.filter((spread) => spread !== null);
    this.#first = Math.floor(Math.log10(Math.max(0.1, Math.min(...known.map((spread) => spread.p50)))));
    this.#last = Math.max(this.#first + 1, Math.ceil(Math.log10(Math.max(1, ...known.map((spread) => spread.p99)))));
  }

  get lines(): readonly number[] {
    return Array.from({ length: this.#last - this.#first + 1 }, (_, place) => this.place(10 ** (this.#first + place)));
  }

  place(ms: number): number {
    const share = (Math.log10(Math.max(ms, 0.1)) - this.#first) / (this.#last - this.#first);
    return Math.round(Math.min(1, Math.max(0, share)) * 1000) / 10;
  }
}

function drawSpan(spread: Spread | null, kind: string, scale: Scale): HTMLElement | string {
  if (spread === null) return "–";
  const box = { viewBox: "0 0 100 16", preserveAspectRatio: "none", "aria-hidden": "true" };
  const svg = svgElement("svg", { class: `span ${kind}`, ...box });
  const [from, mark, to] = PERCENTILES.map((percentile) => scale.place(spread[percentile])) as [number, number, number];
  svg.append(
    ...scale.lines.map((x) => svgElement("line", { x1: x, x2: x, y1: 0, y2: 16, class: "grid" })),
    svgElement("rect", { x: from, y: 4, width: Math.max(1, to - from), height: 8, class: "reach" }),
    svgElement("rect", { x: mark - 0.4, y: 1, width: 0.8, height: 14, class: "mark" }),
  );
  return el("span", { class: "drawn" }, svg);
}

function fine(ms: number): string {
  return ms < 100 ? `${ms.toFixed(1)} ms` : duration(ms);
}
