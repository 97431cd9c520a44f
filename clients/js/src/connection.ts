/** A connection that brings frames. */

import { createParser } from "eventsource-parser";

import type { Frame } from "./delta.ts";
import type { Line } from "./line.ts";

/** An open connection. `streamId` is known here where the response's head could be read. */
export interface Connection {
  readonly streamId?: string | undefined;
  readonly requestId?: string | undefined;
  readonly frames: AsyncIterable<Frame>;
}

/** Opens connections to one stream; undefined: the server has nothing more of it. */
export type Opener = (line: Line) => Promise<Connection | undefined>;

/** A response as a connection; undefined for a 204. `onRetry` hears of `retry:` fields, in milliseconds. */
export function connect(response: Response, line: Line, onRetry: (ms: number) => void): Connection | undefined {
  if (response.status === 204) return undefined;
  return {
    streamId: response.headers.get("X-Tailrace-Stream") ?? undefined,
    requestId: response.headers.get("X-Request-Id") ?? undefined,
    frames: readFrames(response, line, onRetry),
  };
}

async function* readFrames(response: Response, line: Line, onRetry: (ms: number) => void): AsyncGenerator<Frame> {
  const frames: Frame[] = [];
  const parser = createParser({ onEvent: (frame) => frames.push(frame), onRetry });
  const decoder = new TextDecoder();
  const reader = response.body?.getReader();
  while (reader !== undefined) {
    const { done, value } = await line.hear(reader.read());
    if (done) return;
    parser.feed(decoder.decode(value, { stream: true }));
    yield* frames.splice(0);
  }
}
