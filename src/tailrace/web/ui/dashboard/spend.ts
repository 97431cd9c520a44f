/** What each key has spent, beside its budget. */

import { el, svgElement } from "../shared/dom.ts";
import { usd } from "../shared/numbers.ts";
import { spending, type Budget, type Spending } from "./api.ts";
import { date } from "./moments.ts";
import { Table } from "./table.ts";

const PERIODS: Readonly<Record<Budget["period"], string>> = { day: "this day", month: "this month", total: "in all" };

/** The section of the spending. */
export class Spend {
  readonly element: HTMLElement;
  readonly #table: Table<Spending>;

  constructor() {
    const columns = [
      { name: "Key", cell: (face: Spending) => (face.key_name ?? face.key_id) + (face.revoked ? " (revoked)" : "") },
      { name: "Today", figure: true, cell: ({ day_usd }: Spending) => usd(day_usd) },
      { name: "This month", figure: true, cell: ({ month_usd }: Spending) => usd(month_usd) },
      { name: "In all", figure: true, cell: ({ total_usd }: Spending) => usd(total_usd) },
      { name: "Budget", cell: ({ budget }: Spending) => (budget === null ? "none" : drawBudget(budget)) },
    ];
    this.#table = new Table("Spending by key", columns, ({ key_id }) => key_id, "No key has spent anything.");
    this.element = el(
      "section",
      { id: "spend", "aria-labelledby": "spend-title" },
      el("h2", { id: "spend-title" }, "Spending and budgets"),
      this.#table.element,
      el(
        "p",
        { class: "note" },
        "What running streams have reserved counts as spent until they end. Days and months are UTC’s.",
      ),
    );
  }

  async refresh(): Promise<void> {
    const faces = await spending();
    const shown = faces.filter((face) => !face.revoked || face.month_usd > 0);
    this.#table.show([...shown].sort((one, other) => share(other) - share(one) || other.month_usd - one.month_usd));
  }
}

/** The part of its budget that a key has used; one without a budget comes behind all others. */
function share({ budget }: Spending): number {
  return budget === null ? -1 : budget.spent_usd / budget.amount_usd;
}

function drawBudget(budget: Budget): HTMLElement {
  const used = budget.spent_usd / budget.amount_usd;
  const level = used >= 1 ? "over" : used >= 0.8 ? "near" : "within";
  const bar = svgElement("svg", { class: `level ${level}`, "aria-hidden": "true" });
  bar.append(
    svgElement("rect", { width: "100%", height: "100%", rx: 4, class: "track" }),
    svgElement("rect", { width: `${Math.min(100, used * 100)}%`, height: "100%", rx: 4, class: "reach" }),
  );
  const resets = budget.resets_at === null ? "" : `, anew on ${date(budget.resets_at)}`;
  const words = `${usd(budget.spent_usd)} of ${usd(budget.amount_usd)} ${PERIODS[budget.period]} (${Math.round(used * 100)} %)${resets}`;
  return el("span", { class: "budget" }, bar, words);
}
