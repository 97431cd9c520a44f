import assert from "node:assert/strict";
import { test } from "node:test";

import { DeltaReader, type Frame } from "../src/delta.ts";
import { StreamError } from "../src/errors.ts";

const ID = "gen_000000000000000000000001";

function text(seq: number, delta: string, index: number, tokens = 1): Frame {
  const data = { delta, tokens, chunk_index: index, done: false };
  return { id: `${ID}.${seq}`, event: "message", data: JSON.stringify(data) };
}

function finish(seq: number, total: number): Frame {
  const usage = { source: "counted" };
  const data = { delta: "", finish_reason: "stop", usage, total_chunks: total, model: "m", done: true };
  return { id: `${ID}.${seq}.1`, event: "message", data: JSON.stringify(data) };
}

function codeOf(read: () => unknown): string {
  try {
    read();
  } catch (error) {
    assert.ok(error instanceof StreamError);
    return error.code;
  }
  return "none";
}

test("a frame that was read before is dropped", () => {
  const reader = new DeltaReader();
  assert.equal(reader.read(text(2, "a", 1)).length, 1);
  assert.deepEqual(reader.read(text(2, "a", 1)), []);
  assert.deepEqual(reader.read(text(1, "a", 1)), []);
  assert.equal(reader.cursor, `${ID}.2`);
});

test("an entry's last frame comes after its earlier ones", () => {
  const reader = new DeltaReader(`${ID}.4.1`);
  assert.deepEqual(reader.read(finish(4, 0)), []);
  assert.deepEqual(reader.read({ id: `${ID}.4`, data: "[DONE]" }), []);
  assert.ok(reader.ended);
});

test("joined pieces count as all that they hold", () => {
  const reader = new DeltaReader();
  assert.deepEqual(reader.read(text(4, "abc", 3, 3)), [{ type: "text", text: "abc", tokens: 3 }]);
  assert.deepEqual(reader.read(text(5, "d", 4)), [{ type: "text", text: "d", tokens: 1 }]);
});

test("a gap is an error, in the middle and at the end", () => {
  const middle = new DeltaReader();
  middle.read(text(2, "a", 1));
  assert.equal(
    codeOf(() => middle.read(text(4, "c", 3))),
    "frames_missing",
  );
  const end = new DeltaReader();
  end.read(text(2, "a", 1));
  assert.equal(
    codeOf(() => end.read(finish(5, 3))),
    "frames_missing",
  );
});

test("pieces that overlap what was read are an error, not text twice", () => {
  const reader = new DeltaReader();
  reader.read(text(2, "a", 1));
  assert.equal(
    codeOf(() => reader.read(text(3, "ab", 2, 2))),
    "frames_missing",
  );
});

test("a reader that begins in the middle counts from there", () => {
  const reader = new DeltaReader(`${ID}.6`);
  assert.equal(reader.read(text(7, "g", 6)).length, 1);
  assert.equal(
    codeOf(() => reader.read(text(9, "i", 8))),
    "frames_missing",
  );
});

test("what is no frame of the format is an error that says so", () => {
  const wrong: Frame[] = [
    { data: "{}" },
    { id: "7", data: "{}" },
    { id: `${ID}.2`, data: "no JSON" },
    { id: `${ID}.2`, data: '{"done":true}' },
    { id: `${ID}.2`, data: "null" },
  ];
  for (const frame of wrong) {
    const code = codeOf(() => new DeltaReader().read(frame));
    assert.match(code, /^frames_(invalid|missing)$/, JSON.stringify(frame));
  }
});

test("a frame of another stream is an error", () => {
  const reader = new DeltaReader();
  reader.read(text(2, "a", 1));
  assert.equal(
    codeOf(() => reader.read({ ...text(3, "b", 2), id: "gen_2.3" })),
    "frames_invalid",
  );
});

test("events that this version does not know are passed over", () => {
  const reader = new DeltaReader();
  assert.deepEqual(reader.read({ id: `${ID}.2`, event: "weather", data: "{}" }), []);
  assert.equal(reader.cursor, `${ID}.2`);
});
