import assert from "node:assert/strict";
import { test } from "node:test";

import { createClient, StreamError, TailraceError } from "tailrace";
import { generations, models, session, sessions, deleteSession, state, streams, usage } from "tailrace/api";

import { content, failure, read } from "./reading.ts";
import { SHARED } from "./server.ts";

const client = createClient({ url: SHARED });

test("every kind of event comes, in order, and is folded into the stream", async () => {
  const stream = client.stream({ message: "Hi", model: "simulated/n4-r2-t1-d0" });
  const { events, error } = await read(stream);
  assert.equal(error, undefined);
  const kinds = events.map((event) => event.type).filter((kind, at, all) => kind !== all[at - 1]);
  assert.deepEqual(kinds, ["started", "reasoning", "text", "tool_call", "tool_call_delta", "usage", "finished"]);
  const state_ = await state(client, stream.id!);
  assert.equal(stream.text, state_.text);
  assert.notEqual(stream.reasoning, "");
  assert.deepEqual(
    stream.toolCalls.map((call) => [call.name, JSON.parse(call.arguments)]),
    [["get_weather", { city: "simulated" }]],
  );
  assert.equal(stream.finishReason, "tool_calls");
  assert.deepEqual(stream.usage, state_.usage);
  assert.equal(stream.model, "simulated/n4-r2-t1-d0");
});

test("a whole answer is the one that the server gives as one JSON", async () => {
  const body = { message: "Hi", model: "simulated/n12-r3-t2-d0" };
  const whole = await client.request<Record<string, unknown>>("/v1/chat", { method: "POST", body });
  const answer = await client.stream(body).answer();
  assert.deepEqual({ ...answer, id: 0, created_at: 0 }, { ...whole, id: 0, created_at: 0 });
});

test("a stream is read once", async () => {
  const stream = client.stream({ message: "Hi", model: "simulated/n1-d0" });
  await stream.answer();
  await assert.rejects(stream.answer(), TypeError);
});

test("attaching reads an answer from its start, or what comes after a cursor", async () => {
  const stream = client.stream({ message: "Hi", model: "simulated/n6-d0" });
  const cursors: (string | undefined)[] = [];
  for await (const event of stream) if (event.type === "text") cursors.push(stream.cursor);
  assert.equal((await client.attach(stream.id!).answer()).text, stream.text);
  const rest = client.attach(stream.id!, { after: cursors[2]! });
  await rest.answer();
  assert.ok(rest.text.length < stream.text.length && stream.text.endsWith(rest.text) && rest.text);
  const sequel = client.attach(stream.id!, { after: Number(cursors[2]!.split(".")[1]) });
  await sequel.answer();
  assert.equal(sequel.text, rest.text);
});

test("attaching after the end says what the end was", async () => {
  const stream = client.stream({ message: "Hi", model: "simulated/n2-d0" });
  await stream.answer();
  const { entries } = await state(client, stream.id!);
  for (const after of [entries, `${stream.id}.${entries}`, stream.cursor!]) {
    const { events, error } = await read(client.attach(stream.id!, { after }));
    assert.equal(error, undefined);
    assert.deepEqual(
      events.slice(-2).map((event) => event.type),
      ["usage", "finished"],
    );
  }
  const cut = client.stream({ message: "Hi", model: "simulated/n9-x2-d0" });
  await failure(cut);
  const { entries: all } = await state(client, cut.id!);
  assert.equal((await failure(client.attach(cut.id!, { after: all }))).code, "upstream_cut");
});

test("a failure in mid-answer is thrown, after all that came before it", async () => {
  const stream = client.stream({ message: "Hi", model: "simulated/n9-x3-d0" });
  const error = await failure(stream);
  assert.deepEqual([error.code, error.partial, error.streamId], ["upstream_cut", true, stream.id]);
  assert.ok(error.requestId);
  assert.notEqual(stream.text, "");
});

test("a refusal is thrown with the server's own code and words", async () => {
  const unknown = await failure(client.stream({ message: "Hi", model: "simulated/no-such" }));
  assert.deepEqual([unknown.code, unknown.status, unknown.partial], ["model_not_found", 404, false]);
  assert.match(unknown.message, /simulated/);
  const broken = await failure(client.stream({ message: "Hi", model: "simulated/e400" }));
  assert.deepEqual([broken.code, broken.status], ["upstream_refused", 400]);
  const empty = await failure(client.stream({}));
  assert.deepEqual([empty.code, empty.status], ["invalid_field", 422]);
  const hot = await failure(client.stream({ message: "Hi", temperature: 9 }));
  assert.deepEqual([hot.code, hot.field], ["invalid_field", "temperature"]);
  const gone = await failure(client.attach("gen_000000000000000000000000"));
  assert.deepEqual([gone.code, gone.status], ["stream_not_found", 404]);
});

test("a limit is waited out as long as the server says", async () => {
  const stream = client.stream({ message: "Hi", model: "simulated/e429" }, { retry: { attempts: 2, baseMs: 1 } });
  const { events, error } = await read(stream);
  const [wait] = events;
  assert.ok(wait?.type === "reconnecting" && wait.delay_ms >= 1000 && wait.cause.status === 429);
  assert.ok(error instanceof StreamError);
  assert.deepEqual([events.length, error.status, error.retryAfter], [1, 429, 1]);
});

test("a busy session says which stream keeps it busy", async () => {
  const session_id = `busy-${process.pid}`;
  const first = client.stream({ message: "Hi", model: "simulated/n1000-d20", session_id });
  let busy: StreamError | undefined;
  for await (const event of first) {
    if (event.type === "text") busy = await failure(client.stream({ message: "Hi", session_id }));
    if (busy !== undefined) break;
  }
  assert.deepEqual([busy?.code, busy?.status, busy?.streamId], ["session_busy", 409, first.id]);
});

test("cancelling stops the answer on the server", async () => {
  const stream = client.stream({ message: "Hi", model: "simulated/n1000-d20" });
  let ended: Promise<unknown> | undefined;
  const events = [];
  let thrown: unknown;
  try {
    for await (const event of stream) {
      events.push(event);
      if (event.type === "text") ended ??= stream.cancel();
    }
  } catch (error) {
    thrown = error;
  }
  assert.ok(thrown instanceof StreamError && thrown.code === "cancelled" && thrown.partial);
  assert.deepEqual(
    [(await state(client, stream.id!)).status, ((await ended) as { status: string }).status],
    ["aborted", "aborted"],
  );
});

test("cancelling works before the server has said anything", async () => {
  const stream = client.stream({ message: "Hi", model: "simulated/f60000" });
  const reading = read(stream);
  const ended = await stream.cancel();
  assert.equal(ended?.status, "aborted");
  const { error } = await reading;
  assert.ok(error instanceof StreamError && error.code === "cancelled" && !error.partial);
});

test("a stream that is cancelled before it is read asks nothing", async () => {
  const stream = client.stream({ message: "Hi" });
  assert.equal(await stream.cancel(), undefined);
  assert.equal((await failure(stream)).code, "cancelled");
  assert.equal(stream.id, undefined);
});

test("an abort throws the signal's reason, before, while and after the answer begins", async () => {
  const reason = new Error("enough");
  assert.equal((await read(client.stream({ message: "Hi" }, { signal: AbortSignal.abort(reason) }))).error, reason);
  const control = new AbortController();
  const waiting = read(client.stream({ message: "Hi", model: "simulated/f60000" }, { signal: control.signal }));
  setTimeout(() => control.abort(reason), 20);
  assert.equal((await waiting).error, reason);
  const stream = client.stream({ message: "Hi", model: "simulated/n1000-d20" });
  const seen = [];
  await assert.rejects(
    async () => {
      for await (const event of stream) if (seen.push(event) === 3) stream.abort();
    },
    { name: "AbortError" },
  );
});

test("an answer that is left for good is cancelled, one with a policy of its own goes on", async () => {
  const left = client.stream({ message: "Hi", model: "simulated/n1000-d20" });
  for await (const event of left) if (event.type === "text") break;
  await eventually(async () => (await state(client, left.id!)).status === "aborted");
  const kept = client.stream({ message: "Hi", model: "simulated/n30-d20" }, { onDisconnect: "continue" });
  for await (const event of kept) if (event.type === "text") break;
  assert.equal((await client.attach(kept.id!).answer()).finish_reason, "stop");
});

test("the same key and question are answered once", async () => {
  const idempotencyKey = `once-${process.pid}`;
  const body = { message: "Hi", model: "simulated/n5-d1" };
  const both = [client.stream(body, { idempotencyKey }), client.stream(body, { idempotencyKey })];
  const [one, two] = await Promise.all(both.map((stream) => stream.answer()));
  assert.deepEqual(one, two);
  const other = await failure(client.stream({ ...body, message: "Ho" }, { idempotencyKey }));
  assert.deepEqual([other.code, other.status], ["idempotency_mismatch", 422]);
});

test("a server that is not there is given up, and says so", async () => {
  const nowhere = createClient({ url: "http://127.0.0.1:9" });
  const { events, error } = await read(nowhere.stream({ message: "Hi" }, { retry: { attempts: 3, baseMs: 1 } }));
  assert.ok(error instanceof StreamError);
  assert.deepEqual(
    [error.code, events.map((event) => event.type)],
    ["connection_lost", ["reconnecting", "reconnecting"]],
  );
  assert.match(error.message, /127\.0\.0\.1:9/);
});

test("an error of something on the way is waited out, a token that can't be had too", async () => {
  let requests = 0;
  const flaky: typeof fetch = (url, init) =>
    ++requests === 1 ? Promise.resolve(new Response("<h1>Bad Gateway", { status: 502 })) : fetch(url, init);
  let tokens = 0;
  const token = (): Promise<string> =>
    ++tokens === 1 ? Promise.reject(new Error("no token yet")) : Promise.resolve("any");
  const behind = createClient({ url: SHARED, fetch: flaky, token });
  const { events, error } = await read(
    behind.stream({ message: "Hi", model: "simulated/n2-d0" }, { retry: { baseMs: 1 } }),
  );
  assert.equal(error, undefined);
  const causes = events.flatMap((event) => (event.type === "reconnecting" ? [event.cause] : []));
  assert.deepEqual(
    causes.map((cause) => cause.code),
    ["connection_lost", "http_error"],
  );
  assert.match(causes[0]!.message, /no token yet/);
  assert.match(causes[1]!.message, /502.*Bad Gateway/);
});

test("a stream that is attached to is cancelled also before it is read", async () => {
  const { id } = await begin("simulated/n1000-d20");
  const attached = client.attach(id!);
  assert.equal((await attached.cancel())?.status, "aborted");
  assert.equal((await failure(attached)).code, "cancelled");
});

/** An answer that goes on without its reader. */
async function begin(model: string): Promise<{ id: string | undefined }> {
  const stream = client.stream({ message: "Hi", model }, { onDisconnect: "continue" });
  for await (const event of stream) if (event.type === "text") break;
  return stream;
}

test("settings that make no sense are refused at once", () => {
  assert.throws(() => createClient({ url: SHARED, key: "a", token: "b" }), TypeError);
  assert.throws(() => createClient(), /url/);
  assert.throws(() => createClient({ url: "no address" }), TypeError);
});

test("what the server keeps is listed, read and forgotten", async () => {
  const session_id = `kept-${process.pid}`;
  const { id } = await client.stream({ message: "Remember", model: "simulated/n3-r1-d0", session_id }).answer();
  assert.ok((await models(client)).some((model) => model.id === "simulated"));
  assert.ok((await sessions(client, { limit: 5 })).data.some((face) => face.id === session_id));
  const { messages } = await session(client, session_id);
  assert.deepEqual(
    messages.map((message) => [message.role, message.status]),
    [
      ["user", "whole"],
      ["assistant", "whole"],
    ],
  );
  assert.equal(messages[1]?.generation_id, id);
  assert.ok((await streams(client)).some((stream) => stream.id === id));
  assert.ok((await generations(client, { limit: 50 })).data.some((row) => row.session_id === session_id));
  assert.ok((await usage(client, { by: "model" })).some((sum) => sum.model === "simulated/n3-r1-d0"));
  await deleteSession(client, session_id);
  await assert.rejects(session(client, session_id), (error: TailraceError) => error.code === "session_not_found");
});

async function eventually(happened: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 10_000; !(await happened());) {
    assert.ok(Date.now() < deadline, "it did not happen in time");
    await new Promise((done) => setTimeout(done, 10));
  }
}

test("texts come to the same however they are cut", () => {
  const text = { type: "text", text: "a", tokens: 1 } as const;
  assert.deepEqual(content([text, { type: "reconnected" }, text]), [{ type: "text", text: "aa", tokens: 2 }]);
});
