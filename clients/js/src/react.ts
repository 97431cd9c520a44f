/** One answer at a time in a React component. */

import { useCallback, useEffect, useState, useSyncExternalStore } from "react";

import type { AttachOptions, Client, StreamOptions } from "./client.ts";
import type { FinishReason, StreamEvent, ToolCall, Usage } from "./events.ts";
import type { ChatRequest } from "./requests.ts";
import type { Stream } from "./stream.ts";

/** How an answer stands. */
export type StreamStatus = "idle" | "waiting" | "streaming" | "reconnecting" | "finished" | "cancelled" | "failed";

/** What a component shows of an answer. */
export interface StreamSnapshot {
  readonly status: StreamStatus;
  readonly id: string | undefined;
  readonly text: string;
  readonly reasoning: string;
  readonly toolCalls: readonly ToolCall[];
  readonly usage: Usage | undefined;
  readonly finishReason: FinishReason | undefined;
  /** Why it failed: a `StreamError`, or what your own code threw. */
  readonly error: unknown;
}

/** A snapshot, and what a component may do. */
export interface UseStream extends StreamSnapshot {
  /** Ask; an answer that is still coming is left, and so cancelled. */
  readonly send: (request: ChatRequest, options?: StreamOptions) => void;
  /** Show an answer that is there already. */
  readonly attach: (streamId: string, options?: AttachOptions) => void;
  /** Stop the answer on the server. What has come stays. */
  readonly stop: () => void;
  /** Ask the same again. */
  readonly retry: () => void;
}

const IDLE: StreamSnapshot = {
  status: "idle",
  id: undefined,
  text: "",
  reasoning: "",
  toolCalls: [],
  usage: undefined,
  finishReason: undefined,
  error: undefined,
};

/** Reads streams one after another, and tells of them at most once for each frame that a screen shows. */
class StreamStore {
  snapshot = IDLE;
  #stream: Stream | undefined;
  #again: (() => Stream) | undefined;
  readonly #listeners = new Set<() => void>();
  #frame: Promise<void> | undefined;
  #status: StreamStatus = "idle";
  #error: unknown;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  play(make: () => Stream): void {
    this.leave();
    this.#again = make;
    this.#stream = make();
    void this.#read(this.#stream);
  }

  replay(): void {
    if (this.#again !== undefined) this.play(this.#again);
  }

  /** Stop it on the server; one that can't be reached is left. */
  stop(): void {
    const stream = this.#stream;
    stream?.cancel().catch((error: unknown) => stream.abort(error));
  }

  leave(): void {
    this.#stream?.abort();
    this.#stream = undefined;
  }

  async #read(stream: Stream): Promise<void> {
    this.#tell("waiting");
    try {
      for await (const event of stream) {
        if (stream !== this.#stream) return;
        this.#tell(statusAfter(event) ?? this.#status);
      }
    } catch (error) {
      if (stream !== this.#stream) return;
      this.#tell(isCancelled(error) ? "cancelled" : "failed", error);
    }
  }

  #tell(status: StreamStatus, error?: unknown): void {
    this.#status = status;
    this.#error = error;
    this.#frame ??= nextFrame().then(() => this.#publish());
  }

  #publish(): void {
    this.#frame = undefined;
    const { id, text = "", reasoning = "", toolCalls = [], usage, finishReason } = this.#stream ?? {};
    const status = this.#stream === undefined ? "idle" : this.#status;
    this.snapshot = { status, id, text, reasoning, toolCalls, usage, finishReason, error: this.#error };
    for (const listener of this.#listeners) listener();
  }
}

/**
 * One answer at a time: what it has come to, and how to ask for the next. A component that goes leaves its answer,
 * which is then cancelled unless `onDisconnect` said otherwise.
 *
 * @example
 * const { text, status, send, stop } = useStream(client);
 */
export function useStream(client: Client): UseStream {
  const [store] = useState(() => new StreamStore());
  const snapshot = useSyncExternalStore(
    store.subscribe,
    () => store.snapshot,
    () => IDLE,
  );
  useEffect(() => () => store.leave(), [store]);
  const send = useCallback<UseStream["send"]>(
    (request, options) => store.play(() => client.stream(request, options)),
    [client, store],
  );
  const attach = useCallback<UseStream["attach"]>(
    (id, options) => store.play(() => client.attach(id, options)),
    [client, store],
  );
  const stop = useCallback(() => store.stop(), [store]);
  const retry = useCallback(() => store.replay(), [store]);
  return { ...snapshot, send, attach, stop, retry };
}

function statusAfter(event: StreamEvent): StreamStatus | undefined {
  switch (event.type) {
    case "started":
      return "waiting";
    case "reconnecting":
      return "reconnecting";
    case "reconnected":
      return "streaming";
    case "finished":
      return "finished";
    case "usage":
      return undefined;
    default:
      return "streaming";
  }
}

function isCancelled(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "cancelled";
}

/** A hidden page is shown no frames, but its answer goes on. */
function nextFrame(): Promise<void> {
  return new Promise((resolve) => {
    if (globalThis.document?.visibilityState === "visible") requestAnimationFrame(() => resolve());
    else setTimeout(resolve, 16);
  });
}
