/** Servers for the tests: the one that runs for all of them, and ones of a test's own that it may kill and restart. */

import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** The URL of a `tailrace serve` in open mode. */
export const SHARED = required("JS_CLIENT_SERVER");

/** A `tailrace serve` of a test's own, always on the same port and data. */
export class OwnServer implements AsyncDisposable {
  readonly #port: number;
  readonly #folder: string;
  readonly #env: Record<string, string>;
  #process: ChildProcess | undefined;

  private constructor(port: number, folder: string, env: Record<string, string>) {
    this.#port = port;
    this.#folder = folder;
    this.#env = env;
  }

  static async start(env: Record<string, string> = {}): Promise<OwnServer> {
    const server = new OwnServer(await freePort(), await mkdtemp(join(tmpdir(), "tailrace-js-")), env);
    await server.start();
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Start it, or start it again; when this is done it answers. */
  async start(): Promise<void> {
    const flags = ["-m", "tailrace", "serve", "--port", String(this.#port)];
    this.#process = spawn(required("JS_CLIENT_PYTHON"), flags, {
      cwd: this.#folder,
      env: { ...process.env, TAILRACE_DATA_DIR: join(this.#folder, "data"), ...this.#env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let log = "";
    this.#process.stderr!.on("data", (data) => (log += data));
    const [line = ""] = (await Promise.race([
      once(createInterface({ input: this.#process.stdout! }), "line"),
      once(this.#process, "exit"),
    ])) as [string | number];
    if (!String(line).includes(" at http")) throw new Error(`the server did not start: ${line} ${log}`);
  }

  /** End it as a power cut would. */
  async kill(): Promise<void> {
    if (this.#process === undefined || this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const gone = once(this.#process, "exit");
    this.#process.kill("SIGKILL");
    await gone;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

function required(name: string): string {
  const value = process.env[name];
  if (value === undefined)
    throw new Error(`${name} is not set: run these tests through tests/clients/test_js_client.py`);
  return value;
}
