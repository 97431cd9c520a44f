/** An answer that is being made: reads its stream onto the page. */

import type { Reconnecting, Stream, StreamEvent } from "tailrace";

import { duration } from "../shared/numbers.ts";
import type { AnswerView } from "./answer.ts";
import { Breath } from "./breath.ts";
import type { Progress } from "./figures.ts";

export interface RunningOptions {
  /** It was begun elsewhere: times measured here would be the reading's and not the model's. */
  readonly attached: boolean;
  readonly onStart: () => void;
}

export class Running {
  readonly #stream: Stream;
  readonly #view: AnswerView;
  readonly #options: RunningOptions;
  readonly #begun = performance.now();
  #first: number | undefined;
  #latest = 0;
  #tokens = 0;
  #left = false;

  constructor(stream: Stream, view: AnswerView, options: RunningOptions) {
    this.#stream = stream;
    this.#view = view;
    this.#options = options;
  }

  /** Nobody reads it here any more. */
  get left(): boolean {
    return this.#left;
  }

  /** Read to the end; the error that it ended with, if it did. */
  async read(): Promise<unknown> {
    this.#view.wait("Waiting for the first token…");
    try {
      const breath = new Breath();
      for await (const event of this.#stream) {
        this.#see(event);
        await breath.take();
      }
      return undefined;
    } catch (error) {
      return error;
    }
  }

  /** Stop it, for all its readers. */
  async stop(): Promise<void> {
    this.#view.wait("Stopping…");
    // Unreachable, it can't be told to stop; and whoever asked for it may stop waiting all the same.
    await this.#stream.cancel().catch((error: unknown) => this.#stream.abort(error));
  }

  leave(): void {
    this.#left = true;
    this.#stream.abort();
  }

  #see(event: StreamEvent): void {
    switch (event.type) {
      case "started":
        return this.#options.onStart();
      case "text":
        this.#note(event.tokens);
        return this.#show();
      case "reasoning":
      case "tool_call":
      case "tool_call_delta":
        this.#note(event.type === "tool_call" ? 0 : 1);
        return this.#show();
      case "reconnecting":
        return this.#view.wait(sayLost(event));
      case "reconnected":
        return this.#view.wait("");
      case "usage":
      case "finished":
    }
  }

  #note(tokens: number): void {
    this.#latest = performance.now();
    if (this.#first === undefined) this.#view.wait("");
    this.#first ??= this.#latest;
    this.#tokens += tokens;
  }

  #show(): void {
    this.#view.show(this.#stream, this.#progress());
  }

  #progress(): Progress {
    if (this.#options.attached || this.#first === undefined) return { tokens: this.#tokens };
    return { tokens: this.#tokens, firstTokenMs: this.#first - this.#begun, elapsedMs: this.#latest - this.#first };
  }
}

function sayLost({ delay_ms: delay, cause }: Reconnecting): string {
  const why = cause.code === "draining" ? "The server is shutting down" : "The connection is lost";
  return `${why}: trying again in ${duration(delay)}. Nothing that came is lost.`;
}
