/** Several answers at once, as one feed. */

import type { StreamEvent } from "./events.ts";
import type { Stream } from "./stream.ts";

/** One of the streams threw; the others go on. */
export interface Failed {
  readonly type: "failed";
  readonly error: unknown;
}

/** An event, and the name of the stream that it came from. */
export type Tagged<Source extends PropertyKey> = (StreamEvent | Failed) & { readonly from: Source };

type Name = string | number;

/** What one stream brought: an event, its end, or an error. */
interface Arrival {
  readonly name: Name;
  readonly event?: StreamEvent | void;
  readonly error?: unknown;
}

/** What several streams bring, in the order in which it comes; each is asked for its next event by name. */
class Arrivals {
  readonly #iterators = new Map<Name, AsyncIterator<StreamEvent, void>>();
  readonly #waiting: Arrival[] = [];
  #wake = (): void => {};

  constructor(streams: ReadonlyMap<Name, Stream>) {
    for (const [name, stream] of streams) this.#iterators.set(name, stream[Symbol.asyncIterator]());
    for (const name of streams.keys()) this.ask(name);
  }

  ask(name: Name): void {
    const arrive = (arrival: Arrival): void => {
      this.#waiting.push(arrival);
      this.#wake();
    };
    const next = this.#iterators.get(name)?.next();
    next?.then(
      ({ value }) => arrive({ name, event: value }),
      (error: unknown) => arrive({ name, error }),
    );
  }

  async next(): Promise<Arrival> {
    for (;;) {
      const arrival = this.#waiting.shift();
      if (arrival !== undefined) return arrival;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

/**
 * Read several streams at once: one feed in the order of arrival, each event with the name of its stream in `from`, or
 * its place where an array was given. A stream that throws ends its own part with a `failed` event. Leaving the feed
 * early aborts those that still run.
 */
export function merge<Source extends string>(
  streams: Readonly<Record<Source, Stream>>,
): AsyncGenerator<Tagged<Source>, void>;
export function merge(streams: readonly Stream[]): AsyncGenerator<Tagged<number>, void>;
export async function* merge(
  streams: readonly Stream[] | Readonly<Record<string, Stream>>,
): AsyncGenerator<Tagged<Name>, void> {
  const running = new Map<Name, Stream>(Array.isArray(streams) ? streams.entries() : Object.entries(streams));
  const arrivals = new Arrivals(running);
  try {
    while (running.size > 0) {
      const arrival = await arrivals.next();
      const { name: from, event, error } = arrival;
      if (event) {
        yield { ...event, from };
        arrivals.ask(from);
      } else {
        running.delete(from);
        if ("error" in arrival) yield { type: "failed", error, from };
      }
    }
  } finally {
    for (const stream of running.values()) stream.abort();
  }
}
