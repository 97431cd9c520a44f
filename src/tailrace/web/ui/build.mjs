// Bundles the pages into a folder: `node build.mjs FOLDER [--watch]`, run where node_modules is.

import { copyFileSync, mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const PAGES = ["chat", "dashboard"];

const here = dirname(fileURLToPath(import.meta.url));
const [folder, watch] = process.argv.slice(2);
const packages = join(process.cwd(), "node_modules");
// The packages lie beside the sources in development, and in a scratch folder when the wheel is built.
const esbuild = createRequire(join(packages, "_"))("esbuild");

const options = {
    absWorkingDir: here,
    entryPoints: PAGES.flatMap((page) => [
        { in: `${page}/main.ts`, out: page },
        { in: `${page}/main.css`, out: page },
    ]),
    outdir: resolve(folder),
    nodePaths: [packages],
    bundle: true,
    minify: true,
    format: "esm",
    target: ["chrome111", "firefox114", "safari16.4"],
    legalComments: "none",
    logLevel: "warning",
};

mkdirSync(options.outdir, { recursive: true });
for (const page of PAGES) copyFileSync(join(here, page, "page.html"), join(options.outdir, `${page}.html`));
copyFileSync(join(here, "shared", "icon.svg"), join(options.outdir, "icon.svg"));
if (watch === "--watch") await (await esbuild.context(options)).watch();
else await esbuild.build(options);
