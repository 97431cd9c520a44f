/** A chart of stacked bars in SVG, with a legend, what the pointer or the arrow keys are on, and a table behind it. */

import { el, svgElement } from "../shared/dom.ts";
import { Table } from "./table.ts";
import type { Group, Stack, Stacks } from "./stacks.ts";

const HEIGHT = 240;
const LEFT = 52;
const BOTTOM = 24;
const TOP = 10;
const MOST_TICKS = 5;

/** How a chart's values and times are written. */
export interface Wording {
  readonly title: string;
  readonly value: (value: number) => string;
  readonly time: (starts: number) => string;
  /** The name of a group's colour; by default its place in the legend. */
  readonly colour: (group: Group, place: number) => string;
}

/** A chart; `show` draws it anew. */
export class Bars {
  readonly element: HTMLElement;
  readonly #svg = svgElement("svg", { class: "bars", role: "img", tabindex: 0, height: HEIGHT });
  readonly #legend = el("ul", { class: "legend" });
  readonly #tip = el("p", { class: "tip", role: "status" });
  readonly #behind = el("div");
  #data: Stacks = { groups: [], stacks: [] };
  #words: Wording | undefined;
  #chosen = -1;
  #width = 0;

  constructor() {
    this.element = el(
      "figure",
      { class: "chart" },
      el("div", { class: "plot" }, this.#svg),
      this.#tip,
      this.#legend,
      el("details", {}, el("summary", {}, "As a table"), this.#behind),
    );
    new ResizeObserver(() => this.#resize()).observe(this.element);
    this.#svg.addEventListener("pointermove", (event) => this.#point(event));
    this.#svg.addEventListener("pointerleave", () => this.#choose(-1));
    this.#svg.addEventListener("blur", () => this.#choose(-1));
    this.#svg.addEventListener("keydown", (event) => this.#step(event));
  }

  show(data: Stacks, words: Wording): void {
    this.#data = data;
    this.#words = words;
    this.#svg.setAttribute("aria-label", `${words.title}. The arrow keys go from bar to bar; the figures are below.`);
    this.#legend.replaceChildren(...data.groups.map((group, place) => this.#legendItem(group, place)));
    this.#fillTable();
    this.#draw();
  }

  // The drawing

  #resize(): void {
    const width = Math.floor(this.element.clientWidth);
    if (width === this.#width || width === 0) return;
    this.#width = width;
    this.#draw();
  }

  #draw(): void {
    if (this.#words === undefined || this.#width === 0) return;
    this.#svg.setAttribute("viewBox", `0 0 ${this.#width} ${HEIGHT}`);
    const most = Math.max(...this.#data.stacks.map((stack) => stack.sum), 0);
    const tick = chooseTick(most);
    const top = tick * Math.max(1, Math.ceil(most / tick));
    const bars = this.#data.stacks.map((stack, place) => this.#bar(stack, place, top));
    this.#svg.replaceChildren(...this.#grid(top, tick), ...this.#times(), ...bars);
    this.#choose(this.#chosen);
  }

  #grid(top: number, tick: number): SVGElement[] {
    return Array.from({ length: Math.round(top / tick) + 1 }, (_, place) => {
      const y = this.#y(tick * place, top);
      const line = svgElement("line", { x1: LEFT, x2: this.#width, y1: y, y2: y, class: "grid" });
      const label = svgElement("text", { x: LEFT - 8, y: y + 4, "text-anchor": "end" });
      label.textContent = this.#words!.value(tick * place);
      const group = svgElement("g");
      group.append(line, label);
      return group;
    });
  }

  /** As many times below the bars as there is room for. */
  #times(): SVGElement[] {
    const { stacks } = this.#data;
    const every = Math.max(1, Math.ceil((stacks.length * 56) / (this.#width - LEFT)));
    return stacks.flatMap((stack, place) => {
      if (place % every !== 0) return [];
      const label = svgElement("text", { x: this.#middle(place), y: HEIGHT - 6, "text-anchor": "middle" });
      label.textContent = this.#words!.time(stack.starts);
      return [label];
    });
  }

  #bar(stack: Stack, place: number, top: number): SVGElement {
    const bar = svgElement("g", { class: "bar" });
    const width = Math.max(1, this.#pitch * 0.72);
    let below = 0;
    stack.values.forEach((value, group) => {
      if (value <= 0) return;
      const y = this.#y(below + value, top);
      const height = Math.max(0.5, this.#y(below, top) - y);
      const x = this.#middle(place) - width / 2;
      bar.append(svgElement("rect", { x, y, width, height, rx: Math.min(2, width / 4), class: this.#colour(group) }));
      below += value;
    });
    return bar;
  }

  get #pitch(): number {
    return (this.#width - LEFT) / Math.max(1, this.#data.stacks.length);
  }

  #middle(place: number): number {
    return LEFT + this.#pitch * (place + 0.5);
  }

  #y(value: number, top: number): number {
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top);
  }

  #colour(place: number): string {
    return `colour-${this.#words!.colour(this.#data.groups[place]!, place)}`;
  }

  // The legend and the table

  #legendItem(group: Group, place: number): HTMLElement {
    const swatch = el("span", { class: `swatch ${this.#colour(place)}` });
    return el(
      "li",
      {},
      swatch,
      el("span", { class: "name" }, group.name),
      el("b", {}, this.#words!.value(group.total)),
    );
  }

  #fillTable(): void {
    const { groups, stacks } = this.#data;
    const { title, value, time } = this.#words!;
    const columns = groups.map(({ name }, place) => ({
      name,
      figure: true,
      cell: (stack: Stack) => value(stack.values[place]!),
    }));
    const first = { name: "Time (UTC)", cell: (stack: Stack) => time(stack.starts) };
    const last = { name: "Sum", figure: true, cell: (stack: Stack) => value(stack.sum) };
    const table = new Table(title, [first, ...columns, last], (stack: Stack) => String(stack.starts), "Nothing yet.");
    table.show(stacks.filter((stack) => stack.sum > 0).reverse());
    this.#behind.replaceChildren(table.element);
  }

  // What is pointed at

  #point(event: PointerEvent): void {
    const place = Math.floor((event.offsetX - LEFT) / this.#pitch);
    this.#choose(place >= 0 && place < this.#data.stacks.length ? place : -1);
  }

  #step(event: KeyboardEvent): void {
    const last = this.#data.stacks.length - 1;
    const next = {
      ArrowLeft: this.#chosen < 0 ? last : this.#chosen - 1,
      ArrowRight: this.#chosen + 1,
      Home: 0,
      End: last,
    };
    const place = next[event.key as keyof typeof next];
    if (place === undefined) return;
    event.preventDefault();
    this.#choose(Math.min(last, Math.max(0, place)));
  }

  #choose(place: number): void {
    const bars = this.#svg.querySelectorAll(".bar");
    bars[this.#chosen]?.classList.remove("chosen");
    bars[place]?.classList.add("chosen");
    this.#chosen = place;
    this.#tip.textContent = this.#tell(this.#data.stacks[place]);
  }

  #tell(stack: Stack | undefined): string {
    if (stack === undefined) return "";
    const { value, time } = this.#words!;
    const parts = stack.values.flatMap((part, place) =>
      part > 0 ? [`${this.#data.groups[place]!.name} ${value(part)}`] : [],
    );
    return `${time(stack.starts)} UTC: ${value(stack.sum)}${parts.length > 1 ? ` (${parts.join(", ")})` : ""}`;
  }
}

/** The distance between two lines of the grid: a round number, so that few of them reach the value. */
function chooseTick(value: number): number {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value / MOST_TICKS));
  return [1, 2, 2.5, 5, 10].map((step) => step * power).find((tick) => tick * MOST_TICKS >= value)!;
}
