/** One answer on the page: its reasoning, its calls of tools, its text, how it ended and what it took. */

import type { ToolCall } from "tailrace";
import type { GenerationRow } from "tailrace/api";

import { el } from "../shared/dom.ts";
import { copyButton } from "./copying.ts";
import { FiguresLine, type Progress } from "./figures.ts";
import { MarkdownView } from "./markdown/view.ts";
import { Painter } from "./painter.ts";
import { ReasoningFold } from "./reasoning.ts";
import { ToolCalls } from "./tools.ts";
import { Notice } from "./notice.ts";
import type { Trouble } from "./troubles.ts";

/** What an answer has come to. */
export interface Content {
  readonly text: string;
  readonly reasoning: string;
  readonly toolCalls: readonly Pick<ToolCall, "id" | "name" | "arguments">[];
}

/** How much more of a text is drawn at once: a long one that is there already comes in steps. */
const MOST = 3_000;
const NOTHING: Content = { text: "", reasoning: "", toolCalls: [] };

export class AnswerView {
  readonly kind = "answer";
  readonly element: HTMLElement;
  /** The message's id, once the server keeps it. */
  id: string | undefined;
  generationId: string | undefined;

  readonly #reasoning = new ReasoningFold();
  readonly #tools = new ToolCalls();
  readonly #markdown = new MarkdownView();
  readonly #status = el("p", { class: "status" });
  readonly #notice = new Notice(() => this.#again());
  readonly #figures = new FiguresLine();
  readonly #actions: HTMLElement;
  readonly #painter = new Painter(() => this.#draw());
  readonly #again: () => void;
  #content = NOTHING;
  #progress: Progress | undefined;
  #drawn = 0;
  #ending: { readonly trouble: Trouble | undefined } | undefined;

  /** `again` answers the same question anew. */
  constructor(again: () => void) {
    this.#again = again;
    const regenerate = el("button", { type: "button", class: "quiet", onclick: () => this.#again() }, "Answer again");
    this.#actions = el(
      "div",
      { class: "actions" },
      copyButton("Copy answer", () => this.#content.text),
      regenerate,
    );
    this.element = el(
      "article",
      { class: "answer", "aria-label": "Answer", "aria-busy": "true", tabindex: -1 },
      this.#reasoning.element,
      this.#markdown.element,
      this.#tools.element,
      this.#status,
      this.#notice.element,
      el("footer", {}, this.#figures.element, this.#actions),
    );
  }

  /** Show what it has come to, with the next frame. */
  show(content: Content, progress?: Progress): void {
    this.#content = { text: content.text, reasoning: content.reasoning, toolCalls: content.toolCalls };
    this.#progress = progress;
    this.#painter.request();
  }

  /** It is being made; `words` say what is waited for. */
  wait(words: string): void {
    this.#ending = undefined;
    this.element.setAttribute("aria-busy", "true");
    this.element.classList.add("running");
    this.#status.textContent = words;
    this.#notice.clear();
  }

  /** It has ended, whole or as far as it came: says so as soon as all of it is drawn. */
  end(trouble?: Trouble): void {
    this.#ending = { trouble };
    this.#painter.request();
  }

  #finish(trouble: Trouble | undefined): void {
    this.#reasoning.end();
    this.element.setAttribute("aria-busy", "false");
    this.element.classList.remove("running");
    this.#status.textContent = "";
    if (trouble !== undefined) this.#notice.show(trouble);
  }

  showRow(row: GenerationRow): void {
    this.#progress = undefined;
    this.#figures.showRow(row);
  }

  #draw(): void {
    const { text, reasoning, toolCalls } = this.#content;
    this.#drawn = Math.min(text.length, this.#drawn + MOST);
    this.#reasoning.show(reasoning, text !== "");
    this.#markdown.show(text.slice(0, this.#drawn));
    this.#tools.show(toolCalls);
    if (this.#progress !== undefined) this.#figures.showProgress(this.#progress);
    if (this.#drawn < text.length) this.#painter.request();
    else if (this.#ending !== undefined) this.#finish(this.#ending.trouble);
  }
}
