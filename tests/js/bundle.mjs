// Bundles the script of a page, from standard input, for a browser; the bundle goes to standard output.
import { readFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const { outputFiles } = await build({
  stdin: { contents: readFileSync(0, "utf8"), resolveDir: dirname(fileURLToPath(import.meta.url)), loader: "jsx" },
  bundle: true,
  write: false,
  format: "iife",
  target: "es2022",
  jsx: "automatic",
  define: { "process.env.NODE_ENV": '"production"' },
});
process.stdout.write(outputFiles[0].contents);
