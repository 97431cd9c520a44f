/** Markdown as a tree of blocks. What is in them is read when they are shown, for most of them were shown before. */

import { Lexer, type Token, type Tokens } from "marked";

export type Block = Token;
export type Inline = Token;

/** A list that grows past this goes on in a new one, from one of its items on: reading it again costs too much. */
const LONGEST_LIST = 3_000;
/** Quotes in quotes in quotes: nobody means it, and the lexer would lose its stack. */
const ABYSS = /^(?:[ \t]*(?:>|[-+*]|\d{1,9}[.)])[ \t]*){24}/m;

/** The blocks of a text; together their `raw` is the text. */
export function lexBlocks(text: string): Block[] {
  if (ABYSS.test(text)) return [literal(text)];
  try {
    return new Lexer().blockTokens(text, []).flatMap(divide);
  } catch {
    return [literal(text)];
  }
}

/** What is in a paragraph, a heading, a cell. */
export function lexInline(text: string): Inline[] {
  try {
    return new Lexer().inlineTokens(text);
  } catch {
    return [literal(text)];
  }
}

function literal(raw: string): Tokens.HTML {
  return { type: "html", raw, text: raw, pre: true, block: true };
}

/** A long list as several: the items that can't change any more, and the last two, which may. */
function divide(block: Block): Block[] {
  if (block.type !== "list" || block.raw.length <= LONGEST_LIST) return [block];
  const { items, ordered, start } = block as Tokens.List;
  const settled = items.length - 2;
  if (settled < 1) return [block];
  const parts = [items.slice(0, settled), items.slice(settled, settled + 1), items.slice(settled + 1)];
  const starts = [0, settled, settled + 1];
  return parts.map((part, place) => ({
    ...block,
    items: part,
    start: ordered ? Number(start) + starts[place]! : "",
    raw: part.map((item) => item.raw).join(""),
  }));
}
