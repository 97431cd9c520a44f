/** Reads streams for the tests. */

import assert from "node:assert/strict";

import { StreamError, type StreamEvent, type Stream } from "tailrace";

/** What came of a stream: its events, and what it threw, if it did. */
export interface Outcome {
  readonly events: StreamEvent[];
  readonly error?: unknown;
}

/** Read to the end, whatever it is. */
export async function read(stream: AsyncIterable<StreamEvent>): Promise<Outcome> {
  const events: StreamEvent[] = [];
  try {
    for await (const event of stream) events.push(event);
    return { events };
  } catch (error) {
    return { events, error };
  }
}

/** The error of a stream that must fail with one. */
export async function failure(stream: Stream): Promise<StreamError> {
  const { error } = await read(stream);
  assert.ok(error instanceof StreamError, `no StreamError: ${String(error)}`);
  return error;
}

/** Events without those that tell of connections, and neighbouring texts joined: the same for every way they came. */
export function content(events: readonly StreamEvent[]): StreamEvent[] {
  const joined: StreamEvent[] = [];
  for (const event of events) {
    const last = joined.at(-1);
    if (event.type === "started" || event.type === "reconnecting" || event.type === "reconnected") continue;
    if (event.type === "text" && last?.type === "text") {
      joined[joined.length - 1] = { ...last, text: last.text + event.text, tokens: last.tokens + event.tokens };
    } else joined.push(event);
  }
  return joined;
}

/** How often each kind of event came. */
export function count(events: readonly StreamEvent[], type: StreamEvent["type"]): number {
  return events.filter((event) => event.type === type).length;
}
