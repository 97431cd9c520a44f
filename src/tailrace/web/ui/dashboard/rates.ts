/** How fast each stream runs, from one look to the next. */

import type { LiveStream } from "./api.ts";

interface Look {
  readonly at: number;
  readonly tokens: number;
  readonly rate: number;
}

/** What a new look weighs against those before it. */
const WEIGHT = 0.6;

/** Tokens a second by stream, smoothed. */
export class Rates {
  #looks = new Map<string, Look>();

  /** Take a look at all the streams that run; `now` is the server's clock. */
  look(streams: readonly LiveStream[], now: number): void {
    this.#looks = new Map(streams.map((stream) => [stream.id, this.#next(stream, now)]));
  }

  of(id: string): number {
    return this.#looks.get(id)?.rate ?? 0;
  }

  get sum(): number {
    return [...this.#looks.values()].reduce((sum, look) => sum + look.rate, 0);
  }

  #next(stream: LiveStream, now: number): Look {
    const before = this.#looks.get(stream.id);
    const tokens = stream.output_tokens;
    if (before === undefined) return { at: now, tokens, rate: meanRate(stream, now) };
    // Another process's figures come with its checkpoints, and stand still in between.
    if (now - before.at < 0.5 || (tokens === before.tokens && now - before.at < 3)) return before;
    const rate = (tokens - before.tokens) / (now - before.at);
    return { at: now, tokens, rate: Math.max(0, WEIGHT * rate + (1 - WEIGHT) * before.rate) };
  }
}

function meanRate(stream: LiveStream, now: number): number {
  const writing = now - stream.created_at - (stream.ttft_ms ?? 0) / 1000;
  return writing > 0.5 ? stream.output_tokens / writing : 0;
}
