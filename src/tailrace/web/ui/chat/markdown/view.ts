/**
 * Markdown as it streams: shows a text that grows, and touches only what changed of the page.
 *
 * Blocks that no later text can change are left alone for good, so that a frame costs what is new and not what is there.
 * A block is settled when two others follow it: the last may still join the one before, as `1` does that becomes `1.`
 */

import { el } from "../../shared/dom.ts";
import { BlockList } from "./blocks.ts";
import { lexBlocks, type Block } from "./lexing.ts";

const OPEN_BLOCKS = 2;

export class MarkdownView {
  readonly element = el("div", { class: "markdown" });
  #settled = 0;
  #open = new BlockList(this.element);

  /** Show this text, of which what was shown before is the beginning. */
  show(text: string): void {
    const blocks = lexBlocks(text.slice(this.#settled));
    this.#open.show(blocks);
    const settled = blocks.length - openOf(blocks);
    if (settled > 0) {
      this.#open.settle(settled);
      for (const block of blocks.slice(0, settled)) this.#settled += block.raw.length;
    }
  }
}

/** How many blocks, from the end, may still change. */
function openOf(blocks: readonly Block[]): number {
  let seen = 0;
  for (let open = 1; open <= blocks.length; open++) {
    if (blocks[blocks.length - open]!.type !== "space" && ++seen === OPEN_BLOCKS) return open;
  }
  return blocks.length;
}
