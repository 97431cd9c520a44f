/** Tables that are kept up with their data: a row stays the same element, so that nobody loses the focus in it. */

import { el, type Child } from "../shared/dom.ts";

/** A column: its heading, and what a cell holds. Figures stand to the right. */
export interface Column<T> {
  readonly name: string;
  readonly figure?: boolean;
  /** A heading for those who can't see that none is needed. */
  readonly silent?: boolean;
  /** What a heading begins with for those who can't see which column it follows. */
  readonly of?: string;
  /** What the cell holds; the same text is not written again, the same element stays. */
  readonly cell: (item: T) => Child;
}

interface Row {
  readonly element: HTMLTableRowElement;
  readonly cells: readonly HTMLTableCellElement[];
}

/** A table of items that have an id; `nothing` is said where there are none. */
export class Table<T> {
  readonly element: HTMLElement;
  readonly #columns: readonly Column<T>[];
  readonly #id: (item: T) => string;
  readonly #body = el("tbody", { role: "rowgroup" });
  readonly #nothing: HTMLElement;
  readonly #rows = new Map<string, Row>();
  readonly #scroller: HTMLElement;

  constructor(caption: string, columns: readonly Column<T>[], id: (item: T) => string, nothing: string) {
    this.#columns = columns;
    this.#id = id;
    this.#nothing = el("p", { class: "nothing" }, nothing);
    const head = el("tr", { role: "row" }, ...columns.map(headCell));
    // Said again, for on narrow screens each row is laid out as a card, and browsers then forget what it was.
    const table = el(
      "table",
      { role: "table" },
      el("caption", { class: "hidden" }, caption),
      el("thead", { role: "rowgroup" }, head),
      this.#body,
    );
    // What scrolls must be reachable by keyboard.
    this.#scroller = el("div", { class: "scroller", tabindex: 0, role: "region", "aria-label": caption }, table);
    this.element = el("div", { class: "listing" }, this.#scroller, this.#nothing);
    this.show([]);
  }

  /** Show these, in this order; `mark` gives a row its class. */
  show(items: readonly T[], mark: (item: T) => string = () => ""): void {
    const ids = new Set(items.map(this.#id));
    for (const [id, row] of this.#rows) if (!ids.has(id)) this.#drop(id, row);
    items.forEach((item, place) => this.#put(item, place, mark(item)));
    this.#nothing.hidden = items.length > 0;
    this.#scroller.hidden = items.length === 0;
  }

  #put(item: T, place: number, mark: string): void {
    const id = this.#id(item);
    const row = this.#rows.get(id) ?? this.#add(id);
    if (row.element.className !== mark) row.element.className = mark;
    this.#columns.forEach((column, index) => fill(row.cells[index]!, column.cell(item)));
    if (this.#body.children[place] !== row.element)
      this.#body.insertBefore(row.element, this.#body.children[place] ?? null);
  }

  #add(id: string): Row {
    const cells = this.#columns.map((column) =>
      el("td", {
        role: "cell",
        class: column.figure && "figure",
        "data-name": column.name,
      }),
    );
    const row = { element: el("tr", { role: "row", "data-id": id }, ...cells), cells };
    this.#rows.set(id, row);
    return row;
  }

  #drop(id: string, row: Row): void {
    row.element.remove();
    this.#rows.delete(id);
  }
}

function headCell<T>({ name, figure, silent, of }: Column<T>): HTMLTableCellElement {
  const heading = silent ? el("span", { class: "hidden" }, name) : name;
  const prefix = of !== undefined && el("span", { class: "hidden" }, `${of} `);
  return el("th", { role: "columnheader", scope: "col", class: figure && "figure" }, prefix, heading);
}

function fill(cell: HTMLTableCellElement, child: Child): void {
  cell.classList.toggle("absent", child === "–");
  if (typeof child === "object") {
    if (cell.firstChild !== child) cell.replaceChildren(child);
  } else if (cell.textContent !== (child || "")) {
    cell.textContent = child || "";
  }
}
