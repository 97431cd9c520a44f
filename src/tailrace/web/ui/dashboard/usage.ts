/** What was used over time: the ledger's sums as a chart, split and measured as chosen. */

import { el } from "../shared/dom.ts";
import { count, usd } from "../shared/numbers.ts";
import { series, type Point, type Split, type Step } from "./api.ts";
import { Bars } from "./bars.ts";
import { day, hour } from "./moments.ts";
import { add, SECONDS, stackUp, type Group, type Measure } from "./stacks.ts";

interface Range {
  readonly name: string;
  readonly step: Step;
  readonly steps: number;
}

const RANGES: Readonly<Record<string, Range>> = {
  "24h": { name: "24 hours", step: "hour", steps: 24 },
  "7d": { name: "7 days", step: "day", steps: 7 },
  "30d": { name: "30 days", step: "day", steps: 30 },
  "90d": { name: "90 days", step: "day", steps: 90 },
};
const SPLITS: Readonly<Record<Split, string>> = { model: "model", key: "key", provider: "provider", status: "status" };
const MEASURES: Readonly<Record<Measure, string>> = {
  output_tokens: "output tokens",
  input_tokens: "input tokens",
  generations: "answers",
  cost_usd: "cost in USD",
};
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** The sums of the range that is looked at. */
export interface Sums {
  readonly answers: number;
  readonly tokens: number;
  readonly cost: number;
  readonly unpriced: number;
  readonly aborted: number;
}

/** The section of the usage. `changed` is called when another range is chosen. */
export class Usage {
  readonly element: HTMLElement;
  readonly #range: HTMLSelectElement;
  readonly #split: HTMLSelectElement;
  readonly #measure: HTMLSelectElement;
  readonly #bars = new Bars();
  #points: readonly Point[] = [];
  #turn = 0;

  constructor(changed: () => void) {
    this.#range = select(
      "Range",
      mapValues(RANGES, (range) => range.name),
      "7d",
      changed,
    );
    this.#split = select("Split by", SPLITS, "model", changed);
    this.#measure = select("Show", MEASURES, "output_tokens", () => this.#draw());
    this.element = el(
      "section",
      { id: "usage", "aria-labelledby": "usage-title" },
      el(
        "header",
        {},
        el("h2", { id: "usage-title" }, "Usage"),
        el("div", { class: "choices" }, ...[this.#range, this.#split, this.#measure].map(labelled)),
      ),
      this.#bars.element,
    );
  }

  /** When the range began: with a whole step, or its first bar would be a part of one. */
  get since(): number {
    const { step, steps } = this.#chosen;
    const now = Date.now() / 1000;
    return (Math.floor(now / SECONDS[step]) - steps + 1) * SECONDS[step];
  }

  get rangeName(): string {
    return this.#chosen.name;
  }

  get #chosen(): Range {
    return RANGES[this.#range.value]!;
  }

  /** Ask for the figures and draw them; the sums of the range, undefined where another was chosen meanwhile. */
  async refresh(): Promise<Sums | undefined> {
    const turn = ++this.#turn;
    const query = { step: this.#chosen.step, since: this.since };
    const by = this.#split.value as Split;
    const [points, statuses] = await Promise.all([
      series({ ...query, by }),
      by === "status" ? undefined : series({ ...query, by: "status" }),
    ]);
    if (turn !== this.#turn) return undefined;
    this.#points = points;
    this.#draw();
    return sumUp(statuses ?? points);
  }

  #draw(): void {
    const { step } = this.#chosen;
    const measure = this.#measure.value as Measure;
    const split = this.#split.value as Split;
    const stacks = stackUp(this.#points, measure, step, this.since, Date.now() / 1000);
    this.#bars.show(stacks, {
      title: `${MEASURES[measure]} by ${split}, ${this.#chosen.name}`,
      value: measure === "cost_usd" ? usd : short,
      time: step === "hour" ? hour : day,
      colour: split === "status" ? statusColour : (_, place) => String(place + 1),
    });
  }
}

function sumUp(points: readonly Point[]): Sums {
  const aborted = points.filter((point) => point.group === "aborted");
  return {
    answers: add(points.map((point) => point.generations)),
    tokens: add(points.map((point) => point.output_tokens)),
    cost: add(points.map((point) => point.cost_usd ?? 0)),
    unpriced: add(points.map((point) => point.unpriced)),
    aborted: add(aborted.map((point) => point.generations)),
  };
}

function short(value: number): string {
  return value < 10_000 ? count(Math.round(value * 10) / 10) : SHORT.format(value);
}

function statusColour(group: Group): string {
  return group.id;
}

function select(name: string, options: Readonly<Record<string, string>>, chosen: string, changed: () => void) {
  const element = el("select", { "aria-label": name, onchange: changed });
  element.append(...Object.entries(options).map(([value, text]) => el("option", { value }, text)));
  element.value = chosen;
  return element;
}

function labelled(element: HTMLSelectElement): HTMLElement {
  return el("label", {}, el("span", {}, element.getAttribute("aria-label")!), element);
}

function mapValues<T>(record: Readonly<Record<string, T>>, map: (value: T) => string): Record<string, string> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, map(value)]));
}
