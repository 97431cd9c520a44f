// Bundles the page that the tests in a browser load. Argument: where to write it.
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

await build({
    entryPoints: [join(dirname(fileURLToPath(import.meta.url)), "page.tsx")],
    bundle: true,
    format: "iife",
    target: "es2022",
    jsx: "automatic",
    define: { "process.env.NODE_ENV": '"production"' },
    outfile: process.argv[2],
});
