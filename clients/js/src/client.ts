/** A client of one tailrace server. */

import { connect, type Opener } from "./connection.ts";
import type { StreamState } from "./events.ts";
import { Http, type ClientOptions, type Exchange } from "./http.ts";
import type { ChatRequest, OnDisconnect } from "./requests.ts";
import { cancelPath, Stream, type ReadOptions } from "./stream.ts";

/** How an answer is asked for and read. */
export interface StreamOptions extends ReadOptions {
  /** Names this request: the same request under the same key is answered once. One of its own by default. */
  readonly idempotencyKey?: string;
  /**
   * What becomes of the answer when its last reader is gone. By default the server waits ten seconds for a reader that
   * lost its connection (with `detachWhenHidden` as long as it takes), and one that leaves for good cancels it.
   */
  readonly onDisconnect?: OnDisconnect;
}

/** How an answer that is there already is read. */
export interface AttachOptions extends ReadOptions {
  /** Read what comes after this: an entry's number, or the cursor of a stream. */
  readonly after?: number | string;
}

const PATH = "/v1/chat/stream";
const GRACE_S = 10;

/** Asks one server. Made by {@link createClient}. */
export class Client {
  /** For this package's other entries. @internal */
  readonly http: Http;

  /** @internal */
  constructor(options: ClientOptions) {
    this.http = new Http(options);
  }

  /** Ask, and get the answer as it comes. Nothing is sent before it is iterated over. */
  stream(request: ChatRequest, options: StreamOptions = {}): Stream {
    const key = options.idempotencyKey ?? randomKey();
    const exchange: Exchange = {
      method: "POST",
      body: { ...request, on_disconnect: options.onDisconnect ?? defaultPolicy(options) },
      headers: { "Idempotency-Key": key },
    };
    const open: Opener = async (line) => {
      const response = await line.hear(this.http.send(PATH, { ...exchange, signal: line.signal }));
      return connect(response, line, () => {});
    };
    const ours = options.onDisconnect === undefined;
    return new Stream({ http: this.http, open, learn: () => learnId(this.http, PATH, exchange), ours }, options);
  }

  /** Read an answer that is there already, from its start or from a cursor on; others may be reading it too. */
  attach(streamId: string, options: AttachOptions = {}): Stream {
    const { after = 0 } = options;
    const cursor = typeof after === "string" ? after : after ? `${streamId}.${after}` : undefined;
    const open: Opener = async () => undefined; // The id is known: it is never asked.
    return new Stream({ http: this.http, open, streamId, after: cursor }, options);
  }

  /** Stop an answer, for all its readers; the same state each time. Throws {@link TailraceError}. */
  cancel(streamId: string): Promise<StreamState> {
    return this.http.json(cancelPath(streamId), { method: "POST" });
  }

  /** Any other request to the server, answered in JSON; undefined for a 204. Throws {@link TailraceError}. */
  request<T>(path: string, exchange: Exchange = {}): Promise<T> {
    return this.http.json(path, exchange);
  }
}

/**
 * Make a client of one server.
 *
 * @example
 * const client = createClient({ url: "https://chat.example", token: fetchToken });
 * for await (const event of client.stream({ message: "Why do rivers meander?" })) {
 *   if (event.type === "text") output.append(event.text);
 * }
 */
export function createClient(options: ClientOptions = {}): Client {
  return new Client(options);
}

/** The id of the answer to a request that is under way: asked again with its key, the server says it at once. */
export async function learnId(http: Http, path: string, exchange: Exchange): Promise<string | undefined> {
  const response = await http.send(path, exchange);
  await response.body?.cancel();
  return response.headers.get("X-Tailrace-Stream") ?? undefined;
}

/** How long the server is to wait for readers, where nobody said. */
export function defaultPolicy(options: StreamOptions): OnDisconnect {
  return options.detachWhenHidden ? "continue" : GRACE_S;
}

/** A new idempotency key; `crypto.randomUUID` is kept from pages that came over plain HTTP. */
export function randomKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
