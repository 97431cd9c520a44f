/** How long to wait before the next connection, and the waiting itself. */

import { isHidden, isOffline, watchPage } from "./page.ts";

/** How hard to try. */
export interface RetryOptions {
  /** Connections in a row that bring nothing before a stream gives up; offline ones do not count. Default 8. */
  readonly attempts?: number;
  /** The longest wait after the first failure, doubled by each that follows, in milliseconds. Default 500. */
  readonly baseMs?: number;
  /** The longest wait of all, in milliseconds. Default 15 000. */
  readonly maxMs?: number;
}

/** Counts the connections that brought nothing. */
export class Backoff {
  failures = 0;
  readonly #attempts: number;
  readonly #maxMs: number;
  #baseMs: number;

  constructor({ attempts = 8, baseMs = 500, maxMs = 15_000 }: RetryOptions = {}) {
    this.#attempts = attempts;
    this.#baseMs = baseMs;
    this.#maxMs = maxMs;
  }

  /** Count one more; true once there were too many. On a machine that is off the network none counts. */
  count(): boolean {
    this.failures = Math.max(1, this.failures + Number(!isOffline()));
    return this.failures >= this.#attempts;
  }

  /** The server's word, from a `retry:` field, for the first wait. */
  setBase(ms: number): void {
    this.#baseMs = ms;
  }

  /** Anything up to the longest wait that is due, so that a server's many clients do not all come back at once. */
  delay(): number {
    const longest = Math.min(this.#maxMs, this.#baseMs * 2 ** (this.failures - 1));
    return Math.round(Math.random() * longest);
  }
}

/** Wait so long, or until the page wakes. Throws the signal's reason when it is aborted. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return until(signal, (done, over) => {
    const timer = setTimeout(done, ms);
    over.addEventListener("abort", () => clearTimeout(timer));
    watchPage(over, (change) => change !== "hidden" && done());
  });
}

/** Wait until somebody can see the page. Throws the signal's reason when it is aborted. */
export function untilShown(signal: AbortSignal): Promise<void> {
  return until(signal, (done, over) => {
    if (!isHidden()) done();
    watchPage(over, (change) => change === "shown" && done());
  });
}

async function until(signal: AbortSignal, begin: (done: () => void, over: AbortSignal) => void): Promise<void> {
  signal.throwIfAborted();
  const over = new AbortController();
  await new Promise<void>((done) => {
    signal.addEventListener("abort", () => done(), { signal: over.signal });
    begin(done, over.signal);
  });
  over.abort();
  signal.throwIfAborted();
}
