/** Frames of the `delta` format as events. Pure: knows no network and no time. */

import { parsePlace, type Place } from "./cursor.ts";
import { StreamError } from "./errors.ts";
import type { FinishReason, StreamEvent, Usage } from "./events.ts";

/** One frame of Server-Sent Events. */
export interface Frame {
  readonly id?: string | undefined;
  readonly event?: string | undefined;
  readonly data: string;
}

const DONE = "[DONE]";

interface Data {
  delta?: string;
  tokens?: number;
  chunk_index?: number;
  total_chunks?: number;
  model?: string;
  done?: boolean;
  finish_reason?: FinishReason;
  usage?: Usage;
  reasoning?: string;
  tool_call?: { index?: number; id?: string; name?: string; arguments?: string };
  message?: string;
  code?: string;
  partial?: boolean;
}

/** Reads one stream's frames, over any number of connections: each entry once, none missing. */
export class DeltaReader {
  /** The id of the last frame that was read. */
  cursor: string | undefined;
  /** The last frame was read: nothing follows. */
  ended = false;
  #place: Place | undefined;
  #chunks: number | undefined;

  /** `after` is where to begin: the id of a frame, of which and of all before it nothing is read. */
  constructor(after?: string) {
    this.cursor = after;
    this.#place = parsePlace(after);
    this.#chunks = after === undefined ? 0 : undefined;
  }

  /** What a frame says; nothing where it was read before. Throws the {@link StreamError} that it may be. */
  read(frame: Frame): StreamEvent[] {
    const place = parsePlace(frame.id);
    const { streamId } = this.#place ?? place ?? {};
    if (place === undefined || place.streamId !== streamId) throw this.#invalid(frame);
    if (this.#place !== undefined && place.at <= this.#place.at) return [];
    const events = this.#interpret(frame, parseData(frame.data));
    this.#place = place;
    this.cursor = frame.id;
    return events;
  }

  #interpret(frame: Frame, data: Data | undefined): StreamEvent[] {
    if (data === undefined) throw this.#invalid(frame);
    switch (frame.event ?? "message") {
      case "message":
        return this.#message(frame, data);
      case "reasoning":
        return [{ type: "reasoning", text: data.reasoning ?? "" }];
      case "tool_call":
        return readToolCall(data);
      case "error":
        throw this.#failure(data);
      default:
        return []; // A newer server may have more to say.
    }
  }

  #message(frame: Frame, data: Data): StreamEvent[] {
    const { delta = "", tokens = 1, chunk_index: index = NaN, total_chunks: total = NaN } = data;
    const { done, finish_reason: reason, usage, model = "" } = data;
    if (!done) {
      this.#count(index - tokens, index);
      return [{ type: "text", text: delta, tokens }];
    }
    this.ended = true;
    if (frame.data === DONE) return [];
    this.#count(total, total);
    if (reason === undefined || usage === undefined) throw this.#invalid(frame);
    return [
      { type: "usage", usage },
      { type: "finished", reason, model },
    ];
  }

  /** Each text says which it is and how many it holds: what was read before must reach exactly to its first. */
  #count(before: number, now: number): void {
    if (this.#chunks !== undefined && before !== this.#chunks) {
      const message = `after ${this.cursor ?? "the start"} came not piece ${this.#chunks + 1} but ${before + 1}`;
      throw new StreamError("frames_missing", message);
    }
    this.#chunks = now;
  }

  #failure({ code = "internal", message = code, partial = false }: Data): StreamError {
    this.ended = true;
    return new StreamError(code, message, { partial });
  }

  #invalid({ id, data }: Frame): StreamError {
    const message = `after ${this.cursor ?? "the start"} came no frame of the delta format: ${id} ${data.slice(0, 80)}`;
    return new StreamError("frames_invalid", message);
  }
}

function readToolCall({ tool_call: call }: Data): StreamEvent[] {
  const { index = 0, id, name, arguments: piece } = call ?? {};
  const events: StreamEvent[] = [];
  if (id !== undefined && name !== undefined) events.push({ type: "tool_call", index, id, name });
  if (piece) events.push({ type: "tool_call_delta", index, arguments: piece });
  return events;
}

function parseData(text: string): Data | undefined {
  if (text === DONE) return { done: true };
  try {
    return Object(JSON.parse(text)) as Data;
  } catch {
    return undefined;
  }
}
