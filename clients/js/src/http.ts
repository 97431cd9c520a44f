/** HTTP exchanges with one server: who asks, and what a refusal means. */

import { TailraceError } from "./errors.ts";

/** A credential, or what fetches one. A function is asked before each request, and once more after a 401. */
export type Credential = string | (() => string | Promise<string>);

/** How to reach a server. */
export interface ClientOptions {
  /** Where it is, with its root path if it has one. In a browser by default the page's own origin. */
  readonly url?: string;
  /** An API key; never in a page that others load. */
  readonly key?: string;
  /** A browser token of `POST /v1/tokens`, or a function that fetches one from your own server. */
  readonly token?: Credential;
  /** Sent with every request. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Used in place of the global one. */
  readonly fetch?: typeof globalThis.fetch;
}

/** One request. */
export interface Exchange {
  readonly method?: string;
  /** Becomes the JSON body. */
  readonly body?: unknown;
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** Sends requests as one caller. */
export class Http {
  readonly #options: ClientOptions;
  readonly #base: string;

  constructor(options: ClientOptions) {
    if (options.key && options.token) throw new TypeError("give a key or a token, not both");
    this.#options = options;
    this.#base = absolute(options.url ?? "");
  }

  /** An address on the server. */
  address(path: string, query: Exchange["query"] = {}): string {
    const said = Object.entries(query).filter(([, value]) => value !== undefined);
    const search = new URLSearchParams(said.map(([name, value]) => [name, String(value)]));
    return this.#base + path + (said.length ? `?${search}` : "");
  }

  /** The token as it is now; undefined where there is none. */
  async token(): Promise<string | undefined> {
    const { token } = this.#options;
    return typeof token === "function" ? token() : token;
  }

  /**
   * The response, which is no refusal. Throws {@link TailraceError}: with the server's own code for a refusal, with
   * `connection_lost` where no response came; or the signal's reason.
   */
  async send(path: string, exchange: Exchange = {}): Promise<Response> {
    let response = await this.#ask(path, exchange);
    if (response.status === 401 && typeof this.#options.token === "function") {
      await response.body?.cancel();
      response = await this.#ask(path, exchange);
    }
    if (!response.ok) throw await readRefusal(response);
    return response;
  }

  /** The JSON that a request is answered with. Throws as {@link Http.send} does. */
  async json<T>(path: string, exchange: Exchange = {}): Promise<T> {
    const response = await this.send(path, exchange);
    return (response.status === 204 ? undefined : await response.json()) as T;
  }

  async #ask(path: string, { method = "GET", body, query, headers, signal }: Exchange): Promise<Response> {
    try {
      const credential = this.#options.key ?? (await this.token());
      return await (this.#options.fetch ?? fetch)(this.address(path, query), {
        method,
        headers: {
          ...(body !== undefined && { "Content-Type": "application/json" }),
          ...(credential !== undefined && { Authorization: `Bearer ${credential}` }),
          ...this.#options.headers,
          ...headers,
        },
        body: body === undefined ? null : JSON.stringify(body),
        signal: signal ?? null,
      });
    } catch (cause) {
      signal?.throwIfAborted();
      throw new TailraceError("connection_lost", `${this.#base} can't be asked: ${cause}`, { cause });
    }
  }
}

/** Who is told to come back after longer than this is not kept waiting, but told. */
const PATIENCE_S = 60;

/** Whether the same request may do better a little later. */
export function isPassing({ code, status = 0, retryAfter }: TailraceError): boolean {
  if (code === "connection_lost" || code === "draining") return true;
  const busy = status === 429 || status === 503;
  // Without a code of tailrace's it comes from something on the way, which is there while tailrace starts anew.
  return code === "http_error" ? busy || status >= 500 : busy && (retryAfter ?? Infinity) <= PATIENCE_S;
}

/** What of problem JSON, RFC 9457, is read. */
interface Problem {
  readonly detail?: string;
  readonly code?: string;
  readonly field?: string;
}

async function readRefusal(response: Response): Promise<TailraceError> {
  const text = await response.text().catch(() => "");
  const problem = parseProblem(text);
  const after = response.headers.get("Retry-After");
  const message = problem.detail ?? `HTTP ${response.status}: ${text.slice(0, 200) || response.statusText}`;
  return new TailraceError(problem.code ?? "http_error", message, {
    status: response.status,
    requestId: response.headers.get("X-Request-Id") ?? undefined,
    retryAfter: after !== null && /^\d+$/.test(after) ? Number(after) : undefined,
    field: problem.field,
    streamId: response.headers.get("X-Tailrace-Stream") ?? undefined,
  });
}

function parseProblem(text: string): Problem {
  try {
    return (JSON.parse(text) as Problem | null) ?? {};
  } catch {
    return {};
  }
}

function absolute(url: string): string {
  const origin = globalThis.location?.href;
  if (!url && origin === undefined) throw new TypeError("outside a page a client needs the server's url");
  return new URL(url || "/", origin).href.replace(/\/+$/, "");
}
