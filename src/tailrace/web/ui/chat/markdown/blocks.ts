/** Blocks on the page, brought up to date in place. */

import type { Tokens } from "marked";

import { el } from "../../shared/dom.ts";
import { CodeBlock } from "./code.ts";
import { InlineText } from "./inline.ts";
import type { Block } from "./lexing.ts";

/** A block that is shown. */
interface Shown {
  readonly element: HTMLElement;
  /** Show the same block grown; false: it has become another, and needs a new element. */
  update(block: Block): boolean;
}

/** The blocks in one element, in order. */
export class BlockList {
  readonly #parent: HTMLElement;
  #shown: { source: Block; block: Shown | undefined }[] = [];

  constructor(parent: HTMLElement) {
    this.#parent = parent;
  }

  /** Show these blocks after those that are settled. */
  show(blocks: readonly Block[]): void {
    blocks.forEach((block, place) => this.#put(place, block));
    for (const { block } of this.#shown.splice(blocks.length)) block?.element.remove();
  }

  /** Leave the first blocks as they are, for good. */
  settle(count: number): void {
    this.#shown.splice(0, count);
  }

  #put(place: number, block: Block): void {
    const old = this.#shown[place];
    if (old?.source.raw === block.raw && old.source.type === block.type) return;
    if (old?.block?.update(block)) {
      old.source = block;
      return;
    }
    const made = makeBlock(block);
    if (old?.block) made ? old.block.element.replaceWith(made.element) : old.block.element.remove();
    else if (made) this.#parent.insertBefore(made.element, this.#next(place));
    this.#shown[place] = { source: block, block: made };
  }

  #next(place: number): HTMLElement | null {
    return this.#shown.slice(place + 1).find(({ block }) => block)?.block?.element ?? null;
  }
}

function makeBlock(block: Block): Shown | undefined {
  switch (block.type) {
    case "space":
    case "def":
      return undefined;
    case "heading":
      return new Leaf("heading", el(headingTag((block as Tokens.Heading).depth)), block);
    case "paragraph":
      return new Leaf("paragraph", el("p"), block);
    case "text":
      return new Leaf("text", el("span"), block);
    case "code":
      return new Fence(block as Tokens.Code);
    case "blockquote":
      return new Quote(block as Tokens.Blockquote);
    case "list":
      return new List(block as Tokens.List);
    case "table":
      return new Table(block as Tokens.Table);
    case "hr":
      return { element: el("hr"), update: (other) => other.type === "hr" };
    default:
      return new Literal(block);
  }
}

/** The page's own headings are of the first and second level: an answer's come below. */
function headingTag(depth: number): "h3" | "h4" | "h5" | "h6" {
  return `h${Math.min(6, depth + 2)}` as "h3";
}

/** A block with a line of text in it. */
class Leaf implements Shown {
  readonly #text: InlineText;
  readonly #kind: string;
  readonly element: HTMLElement;

  constructor(kind: string, element: HTMLElement, block: Block) {
    this.#kind = kind;
    this.element = element;
    this.#text = new InlineText(element);
    this.#text.show((block as Tokens.Paragraph).text);
  }

  update(block: Block): boolean {
    const same = block.type === this.#kind && (block.type !== "heading" || this.#isLevel(block as Tokens.Heading));
    if (same) this.#text.show((block as Tokens.Paragraph).text);
    return same;
  }

  #isLevel({ depth }: Tokens.Heading): boolean {
    return this.element.tagName.toLowerCase() === headingTag(depth);
  }
}

/** What is no Markdown of ours, such as HTML: shown as it was written. */
class Literal implements Shown {
  readonly element = el("p", { class: "literal" });

  constructor({ raw }: Block) {
    this.element.textContent = raw.trimEnd();
  }

  update(): boolean {
    return false;
  }
}

class Fence implements Shown {
  readonly #code: CodeBlock;

  constructor({ lang, text }: Tokens.Code) {
    this.#code = new CodeBlock(language(lang));
    this.#code.show(text);
  }

  get element(): HTMLElement {
    return this.#code.element;
  }

  update(block: Block): boolean {
    if (block.type !== "code" || language((block as Tokens.Code).lang) !== this.#code.language) return false;
    this.#code.show((block as Tokens.Code).text);
    return true;
  }
}

function language(lang: string | undefined): string {
  return lang?.trim().split(/\s/)[0] ?? "";
}

class Quote implements Shown {
  readonly element = el("blockquote");
  readonly #blocks = new BlockList(this.element);

  constructor(block: Tokens.Blockquote) {
    this.#blocks.show(block.tokens);
  }

  update(block: Block): boolean {
    if (block.type !== "blockquote") return false;
    this.#blocks.show((block as Tokens.Blockquote).tokens);
    return true;
  }
}

class List implements Shown {
  readonly element: HTMLElement;
  readonly #ordered: boolean;
  readonly #start: number | "";
  readonly #items: { raw: string; blocks: BlockList }[] = [];

  constructor(block: Tokens.List) {
    this.#ordered = block.ordered;
    this.#start = block.start;
    this.element = block.ordered ? el("ol", { start: block.start === 1 ? undefined : block.start }) : el("ul");
    this.#show(block);
  }

  update(block: Block): boolean {
    const { type, ordered, start } = block as Tokens.List;
    if (type !== "list" || ordered !== this.#ordered || start !== this.#start) return false;
    if ((block as Tokens.List).items.length < this.#items.length) return false;
    this.#show(block as Tokens.List);
    return true;
  }

  #show({ items, loose }: Tokens.List): void {
    this.element.classList.toggle("loose", loose);
    items.forEach((item, place) => {
      const shown = (this.#items[place] ??= this.#add());
      // A loose list has paragraphs where a tight one has lines, so that an item may change without its text.
      const raw = `${item.loose}${item.raw}`;
      if (shown.raw === raw) return;
      shown.raw = raw;
      shown.blocks.show(item.tokens.map((token) => asBlock(token, item)));
    });
  }

  #add(): { raw: string; blocks: BlockList } {
    const item = el("li");
    this.element.append(item);
    return { raw: "", blocks: new BlockList(item) };
  }
}

/** A task's box is no block: it stands for itself as text. */
function asBlock(token: Block, { loose }: Tokens.ListItem): Block {
  if (token.type === "checkbox")
    return { type: "text", raw: token.raw, text: (token as Tokens.Checkbox).checked ? "☑ " : "☐ " };
  return token.type === "text" && loose ? { ...token, type: "paragraph" } : token;
}

class Table implements Shown {
  readonly element = el("div", { class: "table", tabindex: 0, role: "group", "aria-label": "Table" });
  readonly #body = el("tbody");
  readonly #head: string;
  readonly #rows: { raw: string; cells: InlineText[] }[] = [];

  constructor(block: Tokens.Table) {
    this.#head = headOf(block);
    const head = el("tr", {}, ...block.header.map((cell) => showCell(el("th", { scope: "col" }), cell).element));
    this.element.append(el("table", {}, el("thead", {}, head), this.#body));
    this.#show(block);
  }

  update(block: Block): boolean {
    if (block.type !== "table" || headOf(block as Tokens.Table) !== this.#head) return false;
    if ((block as Tokens.Table).rows.length < this.#rows.length) return false;
    this.#show(block as Tokens.Table);
    return true;
  }

  #show({ rows }: Tokens.Table): void {
    rows.forEach((cells, place) => {
      const raw = cells.map(({ text }) => text).join("|");
      const row = (this.#rows[place] ??= this.#add(cells));
      if (row.raw === raw) return;
      row.raw = raw;
      cells.forEach(({ text }, column) => row.cells[column]?.show(text));
    });
  }

  #add(cells: readonly Tokens.TableCell[]): { raw: string; cells: InlineText[] } {
    const shown = cells.map((cell) => showCell(el("td"), cell));
    this.#body.append(el("tr", {}, ...shown.map(({ element }) => element)));
    return { raw: "", cells: shown.map(({ text }) => text) };
  }
}

function headOf({ header, align }: Tokens.Table): string {
  return JSON.stringify([header.map(({ text }) => text), align]);
}

function showCell(element: HTMLElement, { text, align }: Tokens.TableCell): { element: HTMLElement; text: InlineText } {
  if (align !== null) element.classList.add(`to-${align}`);
  const shown = new InlineText(element);
  shown.show(text);
  return { element, text: shown };
}
