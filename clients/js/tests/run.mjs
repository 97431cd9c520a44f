// Bundles the tests for Node, and runs them with the Node that runs this. Arguments: names of test files; all without.
import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const folder = dirname(fileURLToPath(import.meta.url));
const wanted = process.argv.slice(2);
const names = readdirSync(folder).filter((name) => /\.test\.tsx?$/.test(name));
const chosen = wanted.length ? names.filter((name) => wanted.includes(name.split(".")[0])) : names;
const outdir = join(folder, "..", "build", `node-${process.versions.node}`);

await build({
    entryPoints: chosen.map((name) => join(folder, name)),
    bundle: true,
    packages: "external",
    platform: "node",
    format: "esm",
    target: "node20",
    jsx: "automatic",
    outdir,
    outExtension: { ".js": ".mjs" },
});
const files = chosen.map((name) => join(outdir, basename(name).replace(/\.tsx?$/, ".mjs")));
const flags = ["--test", "--test-concurrency=2", "--test-reporter=spec"];
const child = spawn(process.execPath, [...flags, ...files], { cwd: join(folder, ".."), stdio: "inherit" });
child.on("exit", (status) => process.exit(status ?? 1));
