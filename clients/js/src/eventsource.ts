/** The browser's own EventSource as a stream: for pages whose policy or proxies want nothing else. */

import { defaultPolicy, learnId, randomKey, type Client, type StreamOptions } from "./client.ts";
import { connect, type Connection, type Opener } from "./connection.ts";
import type { Frame } from "./delta.ts";
import { ConnectionLost, type Line } from "./line.ts";
import type { ChatRequest } from "./requests.ts";
import { Stream } from "./stream.ts";

/** Those fields of a request that an address may carry. */
export type ChatQuery = Pick<
  ChatRequest,
  "model" | "backend" | "system" | "session_id" | "max_tokens" | "temperature" | "top_p" | "seed" | "user"
> & { readonly message: string };

/** How a browser's EventSource is used. */
export interface EventSourceOptions extends StreamOptions {
  /** Used in place of the global one. */
  readonly EventSource?: new (url: string) => EventSource;
}

const PATH = "/v1/chat";
const KINDS = ["message", "reasoning", "tool_call", "error"] as const;

/**
 * Ask over `GET /v1/chat` with an EventSource: its address carries the question, and the client's browser token. A key
 * is never put into an address. While the browser reconnects by itself the stream says nothing of it; once the browser
 * gives up, the stream goes on over fetch, and says why where it can't.
 */
export function eventSource(client: Client, request: ChatQuery, options: EventSourceOptions = {}): Stream {
  const { http } = client;
  const policy = options.onDisconnect ?? defaultPolicy(options);
  const query = { ...request, on_disconnect: policy, idempotency_key: options.idempotencyKey ?? randomKey() };
  const listen: Opener = async (line) => {
    const maker = options.EventSource ?? EventSource;
    return connectSource(new maker(http.address(PATH, { ...query, token: await http.token() })), line);
  };
  const ask: Opener = async (line) => {
    const exchange = { query, signal: line.signal };
    return connect(await line.hear(http.send(PATH, exchange)), line, () => {});
  };
  // An EventSource says nothing of why it was refused; the second time a plain request is told.
  let open = listen;
  const openNext: Opener = (line) => {
    const now = open;
    open = ask;
    return now(line);
  };
  const learn = (): Promise<string | undefined> => learnId(http, PATH, { query });
  return new Stream({ http, open: openNext, learn, ours: options.onDisconnect === undefined }, options);
}

function connectSource(source: EventSource, line: Line): Connection {
  return { frames: readSource(source, line.signal) };
}

async function* readSource(source: EventSource, signal: AbortSignal): AsyncGenerator<Frame> {
  const frames: Frame[] = [];
  let wake = (): void => {};
  const hear = (event: Event): void => {
    if (event instanceof MessageEvent) frames.push({ id: event.lastEventId, event: event.type, data: event.data });
    wake();
  };
  for (const kind of KINDS) source.addEventListener(kind, hear);
  signal.addEventListener("abort", hear);
  try {
    for (;;) {
      yield* frames.splice(0);
      signal.throwIfAborted();
      if (source.readyState === source.CLOSED) throw new ConnectionLost("the browser gave the connection up");
      await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    source.close();
  }
}
