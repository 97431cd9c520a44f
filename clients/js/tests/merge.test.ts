import assert from "node:assert/strict";
import { test } from "node:test";

import { createClient, merge, StreamError, type Tagged } from "tailrace";
import { state } from "tailrace/api";

import { SHARED } from "./server.ts";

const client = createClient({ url: SHARED });

test("several answers come as one feed in the order of arrival, each whole", async () => {
  const streams = {
    slow: client.stream({ message: "Hi", model: "simulated/n10-d200" }),
    quick: client.stream({ message: "Hi", model: "simulated/n40-d20" }),
  };
  const feed: Tagged<"slow" | "quick">[] = [];
  for await (const event of merge(streams)) feed.push(event);
  for (const name of ["slow", "quick"] as const) {
    const text = feed.flatMap((event) => (event.from === name && event.type === "text" ? [event.text] : []));
    assert.equal(text.join(""), streams[name].text);
    assert.equal(feed.filter((event) => event.from === name).at(-1)?.type, "finished");
  }
  assert.equal(feed.at(-1)?.from, "slow");
  const turns = feed.map((event) => event.from).filter((name, at, all) => name !== all[at - 1]).length;
  assert.ok(turns > 2, "the streams take turns");
});

test("one that fails ends its own part alone", async () => {
  const streams = [
    client.stream({ message: "Hi", model: "simulated/n5-d5" }),
    client.stream({ message: "Hi", model: "simulated/n5-x2-d1" }),
    client.stream({ message: "Hi", model: "simulated/nonsense" }),
  ];
  const ends = new Map<number, string>();
  for await (const event of merge(streams)) {
    ends.set(event.from, event.type === "failed" ? (event.error as StreamError).code : event.type);
  }
  assert.deepEqual([ends.get(0), ends.get(1), ends.get(2)], ["finished", "upstream_cut", "model_not_found"]);
});

test("leaving the feed leaves every stream", async () => {
  const streams = [1, 2].map(() => client.stream({ message: "Hi", model: "simulated/n1000-d10" }));
  for await (const event of merge(streams)) if (event.type === "text" && streams.every((stream) => stream.text)) break;
  for (const stream of streams) {
    for (const deadline = Date.now() + 10_000; (await state(client, stream.id!)).status === "running";) {
      assert.ok(Date.now() < deadline, "it still runs");
      await new Promise((done) => setTimeout(done, 10));
    }
    assert.equal((await state(client, stream.id!)).status, "aborted");
  }
});
