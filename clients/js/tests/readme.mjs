// Writes the TypeScript of the README and of the documentation into build/readme, where `tsc -p tests` checks it.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const outdir = join(root, "build", "readme");
const texts = { readme: join(root, "README.md"), docs: join(root, "..", "..", "docs", "javascript.md") };

rmSync(outdir, { recursive: true, force: true });
mkdirSync(outdir, { recursive: true });
for (const [name, path] of Object.entries(texts)) {
    const examples = [...readFileSync(path, "utf8").matchAll(/^```(tsx?)\n(.*?)^```$/gms)];
    if (examples.length === 0) throw new Error(`${path} has no examples`);
    examples.forEach(([, kind, code], at) => writeFileSync(join(outdir, `${name}-${at + 1}.${kind}`), code));
}
