import assert from "node:assert/strict";
import { test } from "node:test";

import { createClient } from "tailrace";

import { content, read } from "./reading.ts";
import { SHARED } from "./server.ts";

const MODEL = "simulated/n4-r1-t1-d0";

/** A server in memory that has one answer, recorded from a real one; it cuts its first answer after so many bytes. */
class Replay {
  readonly #id: string;
  readonly #frames: readonly string[];
  readonly #bytes: Uint8Array;

  constructor(id: string, body: string) {
    this.#id = id;
    this.#frames = body.split(/(?<=\n\n)/);
    this.#bytes = new TextEncoder().encode(body);
  }

  get size(): number {
    return this.#bytes.length;
  }

  cuttingAfter(bytes: number): typeof fetch {
    let requests = 0;
    return async (_url, init) => {
      const cut = requests++ === 0;
      const cursor = new Headers(init?.headers).get("Last-Event-ID");
      const body = cut ? this.#bytes.slice(0, bytes) : new TextEncoder().encode(this.#after(cursor));
      return new Response(body, { headers: { "X-Tailrace-Stream": this.#id } });
    };
  }

  #after(cursor: string | null): string {
    const at = this.#frames.findIndex((frame) => frame.startsWith(`id: ${cursor}\n`));
    return this.#frames.slice(at + 1).join("");
  }
}

test("cut after every single byte of its body, the answer is the same", async () => {
  const body = JSON.stringify({ message: "Grüße 🌊", model: MODEL });
  const headers = { "Content-Type": "application/json" };
  const recorded = await fetch(`${SHARED}/v1/chat/stream`, { method: "POST", body, headers });
  const id = recorded.headers.get("X-Tailrace-Stream")!;
  const replay = new Replay(id, await recorded.text());
  const whole = content((await read(createClient({ url: SHARED }).attach(id))).events);
  const check = async (at: number): Promise<void> => {
    const client = createClient({ url: "http://replay", fetch: replay.cuttingAfter(at) });
    const { events, error } = await read(client.stream({ message: "Hi" }, { retry: { baseMs: 0 } }));
    assert.equal(error, undefined, `cut after byte ${at}`);
    assert.deepEqual(content(events), whole, `cut after byte ${at}`);
  };
  await Promise.all(Array.from({ length: replay.size + 1 }, (_, at) => check(at)));
});
