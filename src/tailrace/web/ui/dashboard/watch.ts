/** One stream's text as it comes, for an operator who looks over its shoulder. */

import { TailraceError, type Stream, type StreamEvent } from "tailrace";

import { client } from "../shared/client.ts";
import { el } from "../shared/dom.ts";
import { count } from "../shared/numbers.ts";
import type { LiveStream } from "./api.ts";
import { words } from "./endings.ts";

type Kind = "said" | "reasoning" | "tool" | "end";

/** Reads along until the answer ends or it is closed; a hidden page gives its connection back meanwhile. */
export class Watch {
  readonly element: HTMLElement;
  readonly #stream: Stream;
  readonly #page: HTMLElement;
  readonly #status = el("span", { class: "badge", role: "status" }, "connecting");
  readonly #close = el("button", { type: "button", onclick: () => this.close() }, "Close");
  #part: { readonly kind: Kind; readonly text: Text } | undefined;
  readonly #closed: () => void;
  #waiting = "";

  constructor(stream: LiveStream, cancel: () => Promise<void>, closed: () => void) {
    this.#closed = closed;
    this.#stream = client.attach(stream.id, { detachWhenHidden: true });
    const title = `${stream.model} for ${stream.key_name ?? "the application"}`;
    const stop = el("button", { type: "button", class: "danger", onclick: () => void cancel() }, "Cancel the stream");
    this.#page = el("div", { class: "text", tabindex: 0, role: "region", "aria-label": "The text so far" });
    this.element = el(
      "article",
      { class: "watch", "aria-label": `Watching ${title}`, "data-stream": stream.id },
      el("header", {}, el("h3", {}, title), this.#status, el("span", { class: "buttons" }, stop, this.#close)),
      this.#page,
      el("p", { class: "note" }, `${stream.id}. While you watch you count as one of its readers.`),
    );
    void this.#follow(stop);
  }

  focus(): void {
    this.#close.focus({ preventScroll: true });
    this.element.scrollIntoView({ block: "nearest" });
  }

  close(): void {
    this.#stream.abort();
    this.element.remove();
    this.#closed();
  }

  async #follow(stop: HTMLElement): Promise<void> {
    try {
      for await (const event of this.#stream) this.#take(event);
    } catch (error) {
      if (!(error instanceof TailraceError)) return; // closed
      this.#status.textContent = words(error.code);
      this.#write(error.message, "end");
    }
    stop.remove();
  }

  #take(event: StreamEvent): void {
    switch (event.type) {
      case "started":
      case "reconnected":
        this.#status.textContent = "running";
        break;
      case "reconnecting":
        this.#status.textContent = "reconnecting";
        break;
      case "text":
      case "reasoning":
        this.#write(event.text, event.type === "text" ? "said" : "reasoning");
        break;
      case "tool_call":
        this.#begin("tool");
        this.#write(`${event.name} `, "tool");
        break;
      case "tool_call_delta":
        this.#write(event.arguments, "tool");
        break;
      case "finished":
        this.#status.textContent = `finished, ${count(this.#stream.usage?.output_tokens ?? 0)} tokens`;
    }
  }

  /** Once a frame, however many tokens come. */
  #write(text: string, kind: Kind): void {
    if (this.#part?.kind !== kind) this.#begin(kind);
    if (this.#waiting === "") requestAnimationFrame(() => this.#flush());
    this.#waiting += text;
  }

  #begin(kind: Kind): void {
    this.#flush();
    const text = document.createTextNode("");
    this.#part = { kind, text };
    this.#page.append(el("p", { class: kind }, text));
  }

  #flush(): void {
    if (this.#waiting === "") return;
    const page = this.#page;
    const atEnd = page.scrollHeight - page.scrollTop - page.clientHeight < 40;
    this.#part?.text.appendData(this.#waiting);
    this.#waiting = "";
    if (atEnd) page.scrollTop = page.scrollHeight;
  }
}
