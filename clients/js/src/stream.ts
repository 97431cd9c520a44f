/** One answer as it comes: its events in order, each once, over any number of connections. */

import { Backoff, pause, untilShown, type RetryOptions } from "./backoff.ts";
import { connect, type Connection, type Opener } from "./connection.ts";
import { parsePlace } from "./cursor.ts";
import { DeltaReader } from "./delta.ts";
import { StreamError, TailraceError } from "./errors.ts";
import type { Answer, FinishReason, StreamEvent, StreamState, ToolCall, ToolCallDelta, Usage } from "./events.ts";
import { isPassing, type Http } from "./http.ts";
import { ConnectionLost, Detached, Line } from "./line.ts";

/** How a stream is read. */
export interface ReadOptions {
  /** Ends the reading when it aborts; its reason is thrown. */
  readonly signal?: AbortSignal;
  readonly retry?: RetryOptions;
  /**
   * Silence, in milliseconds, after which a connection counts as lost. A server is silent for 15 s at most, unless its
   * settings say otherwise. Default 45 000.
   */
  readonly stallMs?: number;
  /**
   * Give the connection up while nobody sees the page, and take it up again when somebody does: over HTTP/1.1 a browser
   * has six connections to a server for all its tabs. The answer goes on meanwhile. Default false.
   */
  readonly detachWhenHidden?: boolean;
}

/** Where a stream comes from; for the client's own use. @internal */
export interface Origin {
  readonly http: Http;
  /** Opens the first connection, again and again until it is known which stream it is. */
  readonly open: Opener;
  readonly streamId?: string | undefined;
  readonly after?: string | undefined;
  /** What learns the id of the stream that is being opened. */
  readonly learn?: (() => Promise<string | undefined>) | undefined;
  /** Nobody but this stream asked the server to wait for readers to come back. */
  readonly ours?: boolean;
}

/**
 * Iterate over it, once, for the answer's events; what they come to so far stands in its attributes.
 *
 * Nothing is sent before the first event is asked for. The last event is `finished`; every other end throws: a
 * {@link StreamError} that says what happened, or the reason of the abort. A lost connection is no end: the stream goes
 * on where it was, and says `reconnecting` and `reconnected` on the way.
 */
export class Stream implements AsyncIterable<StreamEvent> {
  /** The answer's text so far. */
  text = "";
  /** The model's reasoning so far. */
  reasoning = "";
  /** The calls of tools so far, a new array with each piece. */
  toolCalls: readonly ToolCall[] = [];
  /** The final count. */
  usage: Usage | undefined;
  /** The model that answered, once the answer is whole. */
  model: string | undefined;
  /** Why the model stopped, once the answer is whole. */
  finishReason: FinishReason | undefined;

  readonly #origin: Origin;
  readonly #options: ReadOptions;
  readonly #frames: DeltaReader;
  readonly #backoff: Backoff;
  readonly #control = new AbortController();
  #id: string | undefined;
  #requestId: string | undefined;
  #read = false;
  #started = false;
  #cancelled = false;

  /** Streams are made by a client. @internal */
  constructor(origin: Origin, options: ReadOptions) {
    this.#origin = origin;
    this.#options = options;
    this.#frames = new DeltaReader(origin.after);
    this.#backoff = new Backoff(options.retry);
    this.#id = origin.streamId;
  }

  /** The stream's id, as soon as it is known: with it anybody who may can attach to the answer, or cancel it. */
  get id(): string | undefined {
    return this.#id;
  }

  /** The id of the last frame that was read: where another reader goes on, with `attach(id, { after: cursor })`. */
  get cursor(): string | undefined {
    return this.#frames.cursor;
  }

  [Symbol.asyncIterator](): AsyncGenerator<StreamEvent, void, undefined> {
    if (this.#read) throw new TypeError("a stream is read once; attach to its id for another reader");
    this.#read = true;
    return this.#follow();
  }

  /** Read to the end: the whole answer. Throws as the iteration does. */
  async answer(): Promise<Answer> {
    for await (const _ of this);
    return {
      id: this.#id!,
      model: this.model ?? "",
      text: this.text,
      reasoning: this.reasoning,
      tool_calls: this.toolCalls,
      finish_reason: this.finishReason!,
      usage: this.usage!,
    };
  }

  /**
   * Stop the answer on the server, for all its readers; this one then throws a {@link StreamError} with the code
   * `cancelled`. Gives the state the stream ended in; undefined where nothing had been sent yet.
   */
  async cancel(): Promise<StreamState | undefined> {
    if (!this.#read && this.#id === undefined) {
      this.#cancelled = true;
      this.#control.abort(this.#cancellation());
      return undefined;
    }
    const id = this.#id ?? (await this.#origin.learn?.());
    if (id === undefined) throw new TailraceError("connection_lost", "the server has not named the stream yet");
    const state = await this.#origin.http.json<StreamState>(cancelPath(id), { method: "POST" });
    this.#cancelled = true;
    return state;
  }

  /**
   * Read no more: the iteration throws `reason`, by default an `AbortError`. An answer that was asked for without
   * `onDisconnect` is cancelled, as it is when a `for await` loop is left early; any other goes on as its policy says.
   */
  abort(reason?: unknown): void {
    this.#control.abort(reason);
  }

  // The connections, one after another

  async *#follow(): AsyncGenerator<StreamEvent, void, undefined> {
    const { signal } = this.#options;
    const abort = (): void => this.abort(signal?.reason);
    signal?.addEventListener("abort", abort);
    if (signal?.aborted) abort();
    let left = true;
    this.#control.signal.addEventListener("abort", () => left && this.#abandon());
    try {
      for (let lost; (lost = yield* this.#attempt());) yield* this.#wait(lost);
      left = false;
    } catch (error) {
      left = false;
      throw error;
    } finally {
      signal?.removeEventListener("abort", abort);
      if (left) this.abort();
    }
  }

  /** Read over one connection: to the end, or until it is lost. */
  async *#attempt(): AsyncGenerator<StreamEvent, ConnectionLost | undefined, undefined> {
    const { stallMs = 45_000, detachWhenHidden = false } = this.#options;
    const line = new Line(this.#control.signal, { stallMs, detachWhenHidden });
    try {
      yield* this.#readOver(line);
      return undefined;
    } catch (error) {
      return this.#loss(error, line);
    } finally {
      line.lose("the connection is closed");
    }
  }

  async *#readOver(line: Line): AsyncGenerator<StreamEvent, void, undefined> {
    const returning = this.#started;
    const connection = await this.#open(line);
    if (returning) yield { type: "reconnected" };
    if (connection === undefined) return yield* this.#settle(line);
    this.#requestId = connection.requestId ?? this.#requestId;
    yield* this.#begin(connection.streamId);
    line.establish();
    for await (const frame of connection.frames) {
      yield* this.#begin(parsePlace(frame.id)?.streamId);
      const events = this.#frames.read(frame);
      this.#backoff.failures = 0;
      yield* this.#fold(events);
      if (this.finishReason !== undefined) return;
      if (this.#frames.ended) return yield* this.#settle(line);
    }
    throw new ConnectionLost("the connection ended before the answer did");
  }

  *#begin(streamId: string | undefined): Generator<StreamEvent> {
    this.#id ??= streamId;
    if (this.#started || this.#id === undefined) return;
    this.#started = true;
    yield { type: "started", id: this.#id };
  }

  async #open(line: Line): Promise<Connection | undefined> {
    this.#control.signal.throwIfAborted();
    if (this.#id === undefined) {
      // Another request could begin the answer anew, now that its key may be free again.
      if (this.#cancelled) throw this.#cancellation();
      return this.#origin.open(line);
    }
    const { cursor } = this;
    const exchange = {
      query: { format: "delta" },
      headers: { Accept: "text/event-stream", ...(cursor !== undefined && { "Last-Event-ID": cursor }) },
      signal: line.signal,
    };
    const response = await line.hear(this.#origin.http.send(streamPath(this.#id), exchange));
    return connect(response, line, (ms) => this.#backoff.setBase(ms));
  }

  /** The server has nothing more, and we have not heard the end: its state says what that was. */
  async *#settle(line: Line): AsyncGenerator<StreamEvent, void, undefined> {
    const path = streamPath(this.#id ?? "");
    const state = await this.#origin.http.json<StreamState>(path, { signal: line.signal });
    if (state.error !== undefined) throw new StreamError(state.error.code, state.error.message);
    if (state.finish_reason === undefined) throw new ConnectionLost("an answer without an end");
    const { usage, finish_reason: reason, model } = state;
    if (usage !== null) yield* this.#fold([{ type: "usage", usage }]);
    yield* this.#fold([{ type: "finished", reason, model: model ?? "" }]);
  }

  /** What to make of an error: a connection that is lost is returned, all else thrown. */
  #loss(error: unknown, line: Line): ConnectionLost {
    this.#control.signal.throwIfAborted();
    const lost = line.signal.aborted ? line.signal.reason : error;
    if (lost instanceof ConnectionLost) return lost;
    if (!(error instanceof TailraceError)) return new ConnectionLost(String(error), { cause: error });
    // What the stream itself said of its end holds, also where a refusal of that name would be worth another try.
    if (!(error instanceof StreamError) && isPassing(error)) return new ConnectionLost(error.message, { cause: error });
    throw this.#failure(error);
  }

  /** The same error, with all that this stream knows. */
  #failure(error: TailraceError): StreamError {
    const { code, message, cause, requestId = this.#requestId, streamId = this.#id } = error;
    const partial = this.text !== "" || (error instanceof StreamError && error.partial);
    return new StreamError(code, message, { ...error, requestId, streamId, cause, partial });
  }

  #cancellation(): StreamError {
    return this.#failure(new TailraceError("cancelled", "the stream was cancelled"));
  }

  async *#wait(lost: ConnectionLost): AsyncGenerator<StreamEvent, void, undefined> {
    const { signal } = this.#control;
    if (lost instanceof Detached) return untilShown(signal);
    const { cause: said } = lost;
    const cause = said instanceof TailraceError ? said : new TailraceError("connection_lost", lost.message, lost);
    if (this.#backoff.count()) throw this.#failure(cause);
    const delay = Math.max((cause.retryAfter ?? 0) * 1000, this.#backoff.delay());
    yield { type: "reconnecting", attempt: this.#backoff.failures, delay_ms: delay, cause };
    await pause(delay, signal);
    if (this.#options.detachWhenHidden && this.#started) await untilShown(signal);
  }

  /** Nobody reads on, and it was for this reader's sake that the server would wait. */
  #abandon(): void {
    if (this.#id === undefined || !this.#origin.ours) return;
    // The reader has gone: there is nobody to tell that it failed, and the server's grace ends it all the same.
    this.#origin.http.send(cancelPath(this.#id), { method: "POST" }).catch(() => {});
  }

  // What the events come to

  *#fold(events: readonly StreamEvent[]): Generator<StreamEvent> {
    for (const event of events) {
      this.#add(event);
      yield event;
    }
  }

  #add(event: StreamEvent): void {
    switch (event.type) {
      case "text":
        this.text += event.text;
        break;
      case "reasoning":
        this.reasoning += event.text;
        break;
      case "tool_call":
        this.toolCalls = [...this.toolCalls, { index: event.index, id: event.id, name: event.name, arguments: "" }];
        break;
      case "tool_call_delta":
        this.toolCalls = this.toolCalls.map((call) => extend(call, event));
        break;
      case "usage":
        this.usage = event.usage;
        break;
      case "finished":
        this.finishReason = event.reason;
        this.model = event.model;
    }
  }
}

function extend(call: ToolCall, { index, arguments: piece }: ToolCallDelta): ToolCall {
  return call.index === index ? { ...call, arguments: call.arguments + piece } : call;
}

/** Where a stream is read. */
export function streamPath(id: string): string {
  return `/v1/streams/${encodeURIComponent(id)}`;
}

/** Where it is stopped. */
export function cancelPath(id: string): string {
  return `${streamPath(id)}/cancel`;
}
