import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

import { build } from "esbuild";

test("the main entry with all that it needs is under 6 KiB, gzipped", async () => {
  const { outputFiles } = await build({
    entryPoints: ["dist/index.js"],
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    write: false,
  });
  const size = gzipSync(outputFiles[0]!.contents, { level: 9 }).length;
  assert.ok(size < 6 * 1024, `${size} bytes`);
});
