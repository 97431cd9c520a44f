import assert from "node:assert/strict";
import { test } from "node:test";

import { createClient, StreamError, type StreamEvent } from "tailrace";
import { createToken, generations, state } from "tailrace/api";

import { content, count, failure, read } from "./reading.ts";
import { OwnServer, SHARED } from "./server.ts";
import { Wire } from "./wire.ts";

const EAGER = { baseMs: 1, attempts: 5 };
const MODEL = "simulated/n5-r2-t1-d0";
const ADMIN = `tr_admin_${"k".repeat(43)}`;

/** A dense sample, at other bytes in each version of Node. */
const STRIDE = 11;
const OFFSET = Number(process.versions.node.split(".")[0]) % STRIDE;

test("cut after any byte, the answer is the same and was made once", { timeout: 90_000 }, async () => {
  await using wire = await Wire.to(SHARED);
  const client = createClient({ url: wire.url });
  const body = { message: "Hi", model: `${MODEL}-x${1000 + (process.pid % 900_000)}` }; // A name of this test's own.
  const whole = content((await read(client.stream(body))).events);
  let cuts = 0;
  for (let at = OFFSET; cuts * STRIDE + OFFSET === at; at += STRIDE) {
    const before = wire.faults;
    wire.cutAfter(at);
    const { events, error } = await read(client.stream(body, { retry: EAGER }));
    assert.equal(error, undefined, `cut after byte ${at}`);
    assert.deepEqual(content(events), whole, `cut after byte ${at}`);
    if (wire.faults > before) cuts++;
  }
  assert.ok(cuts > 100, `${cuts} cuts`);
  assert.equal(await countRows(body.model), cuts + 2, "each answer once, with the uncut two");
});

/** How many answers of a model the ledger has. */
async function countRows(model: string): Promise<number> {
  const client = createClient({ url: SHARED });
  let rows = 0;
  for (let cursor: string | null | undefined; cursor !== null;) {
    const page = await generations(client, { limit: 500, ...(cursor === undefined ? {} : { cursor }) });
    rows += page.data.filter((row) => row.model === model).length;
    cursor = page.next_cursor;
  }
  return rows;
}

test("a connection that dies again and again still brings the answer, each token once", async () => {
  await using wire = await Wire.to(SHARED);
  const client = createClient({ url: wire.url });
  const stream = client.stream({ message: "Hi", model: "simulated/n60-d10" }, { retry: EAGER });
  const events: StreamEvent[] = [];
  for await (const event of stream) {
    events.push(event);
    if (event.type === "text") wire.cutAfter(90);
  }
  const { text } = await state(createClient({ url: SHARED }), stream.id!);
  assert.equal(stream.text, text);
  assert.ok(count(events, "reconnected") > 1);
  assert.equal(wire.posts, 1);
});

test("lost before a word of the answer, the question is put again and answered once", async () => {
  await using wire = await Wire.to(SHARED);
  const client = createClient({ url: wire.url });
  const session_id = `lost-${process.pid}`;
  wire.cutAfter(0);
  const stream = client.stream({ message: "Hi", model: "simulated/n4-d0", session_id }, { retry: EAGER });
  const { events, error } = await read(stream);
  assert.equal(error, undefined);
  assert.deepEqual([count(events, "started"), wire.posts], [1, 2]);
  const rows = (await generations(client, { limit: 100 })).data.filter((row) => row.session_id === session_id);
  assert.equal(rows.length, 1);
});

test("silence is a lost connection", async () => {
  await using wire = await Wire.to(SHARED);
  const client = createClient({ url: wire.url });
  wire.silenceAfter(1000);
  const stream = client.stream({ message: "Hi", model: "simulated/n30-d5" }, { retry: EAGER, stallMs: 400 });
  const { events, error } = await read(stream);
  assert.equal(error, undefined);
  const lost = events.find((event) => event.type === "reconnecting");
  assert.match(lost?.cause.message ?? "", /nothing came for 0.4 s/);
  assert.equal(stream.text, (await state(client, stream.id!)).text);
});

test("a stream comes back from its cursor", async () => {
  await using wire = await Wire.to(SHARED);
  const client = createClient({ url: wire.url });
  const stream = client.stream({ message: "Hi", model: "simulated/n20-d5" }, { retry: EAGER });
  let cursor: string | undefined;
  for await (const event of stream) {
    if (event.type === "text" && cursor === undefined) {
      cursor = stream.cursor;
      wire.cut();
    }
  }
  assert.deepEqual([wire.cursors[0], wire.cursors.length], [null, 2]);
  assert.ok(Number(wire.cursors[1]!.split(".")[1]) >= Number(cursor!.split(".")[1]));
});

test("an abort while waiting for the next connection ends the waiting", async () => {
  await using wire = await Wire.to(SHARED);
  const client = createClient({ url: wire.url });
  const stream = client.stream(
    { message: "Hi", model: "simulated/n1000-d5" },
    { retry: { baseMs: 3_600_000, maxMs: 3_600_000 } },
  );
  await assert.rejects(
    async () => {
      for await (const event of stream) {
        if (event.type === "text") {
          wire.down = true;
          wire.cut();
        }
        if (event.type === "reconnecting") setTimeout(() => stream.abort(), 10);
      }
    },
    { name: "AbortError" },
  );
});

test("a server that stays away is given up with what had come", async () => {
  await using wire = await Wire.to(SHARED);
  const client = createClient({ url: wire.url });
  const stream = client.stream({ message: "Hi", model: "simulated/n1000-d5" }, { retry: EAGER });
  let error: unknown;
  try {
    for await (const event of stream) {
      if (event.type !== "text") continue;
      wire.down = true;
      wire.cut();
    }
  } catch (thrown) {
    error = thrown;
  }
  assert.ok(error instanceof StreamError);
  assert.deepEqual([error.code, error.partial, error.streamId], ["connection_lost", true, stream.id]);
  await createClient({ url: SHARED }).cancel(stream.id!);
});

test("a token that has expired is fetched anew, also for coming back", { timeout: 60_000 }, async () => {
  await using server = await OwnServer.start({ TAILRACE_ADMIN_KEY: ADMIN });
  await using wire = await Wire.to(server.url);
  const backend = createClient({ url: server.url, key: ADMIN });
  const fetched: string[] = [];
  const stale = "trt_stale.stale";
  const token = async (): Promise<string> => {
    fetched.push(fetched.length % 2 ? (await createToken(backend, { user: "ada" })).token : stale);
    return fetched.at(-1)!;
  };
  const client = createClient({ url: wire.url, token });
  const stream = client.stream({ message: "Hi", model: "simulated/n20-d5" }, { retry: EAGER });
  for await (const event of stream) if (event.type === "text" && wire.heads.length < 4) wire.cut();
  assert.ok(stream.finishReason === "stop" && fetched.length >= 4);
  const refused = await failure(createClient({ url: server.url, token: stale }).stream({ message: "Hi" }));
  assert.deepEqual([refused.code, refused.status], ["unauthorized", 401]);
});

test(
  "killed and started again in mid-answer, the server's own word for it is thrown",
  { timeout: 60_000 },
  async () => {
    await using server = await OwnServer.start();
    const client = createClient({ url: server.url });
    const stream = client.stream(
      { message: "Hi", model: "simulated/n1000-d5" },
      { retry: { baseMs: 50, attempts: 200, maxMs: 200 } },
    );
    let restarted: Promise<void> | undefined;
    let error: unknown;
    try {
      for await (const event of stream)
        if (event.type === "text") restarted ??= server.kill().then(() => server.start());
    } catch (thrown) {
      error = thrown;
    }
    await restarted;
    assert.ok(error instanceof StreamError, String(error));
    // A server without a persistent log no longer knows the stream; one with such a log knows that it was interrupted.
    assert.ok(["stream_not_found", "stream_gone", "interrupted"].includes(error.code), error.code);
    assert.ok(error.partial && stream.text !== "" && error.streamId === stream.id);
  },
);

test("a server that comes up late is waited for", { timeout: 60_000 }, async () => {
  await using server = await OwnServer.start();
  await server.kill();
  const client = createClient({ url: server.url });
  const answer = client
    .stream({ message: "Hi", model: "simulated/n3-d0" }, { retry: { baseMs: 50, attempts: 200, maxMs: 200 } })
    .answer();
  await server.start();
  assert.equal((await answer).finish_reason, "stop");
});
