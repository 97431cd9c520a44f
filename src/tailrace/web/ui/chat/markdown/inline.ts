/** What is in a line: emphasis, code, links. Addresses are shown, never fetched. */

import type { Tokens } from "marked";

import { el } from "../../shared/dom.ts";
import { decodeEntities } from "./entities.ts";
import { lexInline, type Inline } from "./lexing.ts";

/** About how much is read at once: emphasis that never closes costs the square of it. */
const PIECE = 2_000;
const SCHEMES = new Set(["http:", "https:", "mailto:"]);

/** A text that grows in an element of its own. */
export class InlineText {
  readonly #parent: HTMLElement;
  #settled = 0;
  #open: ChildNode[] = [];
  #text = "";

  constructor(parent: HTMLElement) {
    this.#parent = parent;
  }

  /** Show this text in place of what is there. */
  show(text: string): void {
    if (!text.startsWith(this.#text.slice(0, this.#settled))) this.#reset();
    this.#text = text;
    const { whole, rest } = divide(text.slice(this.#settled));
    for (const piece of whole) this.#settle(piece);
    this.#showOpen(rest);
  }

  #settle(piece: string): void {
    this.#showOpen(piece);
    this.#settled += piece.length;
    this.#open = [];
  }

  #showOpen(piece: string): void {
    this.#open.forEach((node) => node.remove());
    this.#open = render(lexInline(piece));
    this.#parent.append(...this.#open);
  }

  #reset(): void {
    this.#parent.replaceChildren();
    this.#settled = 0;
    this.#open = [];
  }
}

/** A long text in pieces that end between words, and what is left of it. */
function divide(text: string): { whole: string[]; rest: string } {
  const whole: string[] = [];
  let rest = text;
  while (rest.length > PIECE) {
    const space = rest.lastIndexOf(" ", PIECE);
    const end = space > PIECE / 2 ? space + 1 : PIECE;
    whole.push(rest.slice(0, end));
    rest = rest.slice(end);
  }
  return { whole, rest };
}

function render(tokens: readonly Inline[]): ChildNode[] {
  return tokens.map(renderOne);
}

function renderOne(token: Inline): ChildNode {
  switch (token.type) {
    case "strong":
    case "em":
    case "del":
      return el(token.type, {}, ...render((token as Tokens.Strong).tokens));
    case "codespan":
      return el("code", {}, (token as Tokens.Codespan).text);
    case "br":
      return el("br");
    case "link":
      return renderLink(token as Tokens.Link);
    case "image":
      return renderImage(token as Tokens.Image);
    case "text":
      return document.createTextNode(decodeEntities((token as Tokens.Text).text));
    case "escape":
      return document.createTextNode((token as Tokens.Escape).text);
    default:
      return document.createTextNode(token.raw);
  }
}

function renderLink({ href, tokens, raw, autolink }: Tokens.Link): ChildNode {
  const address = safeAddress(autolink ? href : decodeEntities(href));
  if (address === undefined) return document.createTextNode(raw);
  return el("a", { href: address, title: address, target: "_blank", rel: "noopener noreferrer" }, ...render(tokens));
}

/** An image would tell its server who reads what: its text and its address are shown in its place. */
function renderImage({ href, text, raw }: Tokens.Image): ChildNode {
  const address = safeAddress(decodeEntities(href));
  if (address === undefined) return document.createTextNode(raw);
  const label = `Image: ${decodeEntities(text) || address}`;
  return el(
    "a",
    { href: address, title: address, target: "_blank", rel: "noopener noreferrer", class: "image" },
    label,
  );
}

/** An address that may be a link: whole, and of a kind that runs nothing. */
function safeAddress(text: string): string | undefined {
  try {
    const { protocol, href } = new URL(text);
    return SCHEMES.has(protocol) ? href : undefined;
  } catch {
    return undefined;
  }
}
