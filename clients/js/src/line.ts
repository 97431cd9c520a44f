/** One connection's life: watched for silence, ended when it is surely of no use any more. */

import { isHidden, watchPage } from "./page.ts";

/** The connection is gone, or never came to be, and another one may do better. */
export class ConnectionLost extends Error {}

/** It was given up on purpose, while nobody looks. */
export class Detached extends ConnectionLost {}

/** Silence after which a page that is shown again trusts its connection no more: over a server's heartbeat. */
const DOUBTFUL_MS = 20_000;

/** How a connection is watched. */
export interface LineOptions {
  readonly stallMs: number;
  readonly detachWhenHidden: boolean;
}

/** Aborts its `signal` when the outer one aborts, after a silence, when the network came back, or the page went. */
export class Line {
  readonly #controller = new AbortController();
  readonly #options: LineOptions;
  #established = false;
  #heardAt = Date.now();

  constructor(outer: AbortSignal, options: LineOptions) {
    const { signal } = this;
    this.#options = options;
    outer.addEventListener("abort", () => this.#controller.abort(outer.reason), { signal });
    watchPage(signal, (change) => {
      if (change === "online") this.lose("the network was away");
      if (change === "shown" && Date.now() - this.#heardAt > DOUBTFUL_MS) this.lose("the page was asleep");
      if (change === "hidden" && this.#established) this.establish();
    });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** It stands: from now on it may be given up while the page is hidden, and taken up again. */
  establish(): void {
    this.#established = true;
    if (this.#options.detachWhenHidden && isHidden()) this.#controller.abort(new Detached("the page is hidden"));
  }

  /** Wait for something from the server, but no longer than a silence may last. */
  async hear<T>(sound: Promise<T>): Promise<T> {
    const { stallMs } = this.#options;
    const timer = setTimeout(() => this.lose(`nothing came for ${stallMs / 1000} s`), stallMs);
    try {
      return await sound;
    } finally {
      clearTimeout(timer);
      this.#heardAt = Date.now();
    }
  }

  /** Give the connection up; what is still under way on it ends. */
  lose(message: string): void {
    this.#controller.abort(new ConnectionLost(message));
  }
}
