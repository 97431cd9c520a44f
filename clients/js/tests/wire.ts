/** A wire between the client and a server that a test can cut or silence, at a byte of its choice. */

import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";

/** What happens to an answer, once, after so many of its bytes. */
interface Fault {
  readonly kind: "cut" | "silence";
  left: number;
}

export class Wire implements AsyncDisposable {
  /** The head of each request that came through. */
  readonly heads: string[] = [];
  /** Where it leads. */
  target: URL;
  /** Take no connection on: each is reset. */
  down = false;
  readonly #sockets = new Set<Socket>();
  #server: Server;
  #fault: Fault | undefined;
  #faults = 0;

  private constructor(target: string) {
    this.target = new URL(target);
    this.#server = createServer((client) => this.#link(client));
  }

  /** A wire to this server. */
  static async to(target: string): Promise<Wire> {
    const wire = new Wire(target);
    await new Promise<void>((done) => wire.#server.listen(0, "127.0.0.1", done));
    return wire;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** How many faults have struck. */
  get faults(): number {
    return this.#faults;
  }

  /** Reset the connection after so many more bytes from the server, once. */
  cutAfter(bytes: number): void {
    this.#fault = { kind: "cut", left: bytes };
  }

  /** Hand nothing on after so many more bytes from the server, on the connection that brings them, once. */
  silenceAfter(bytes: number): void {
    this.#fault = { kind: "silence", left: bytes };
  }

  /** Reset every connection now. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** The cursors that requests came with; null where one had none. */
  get cursors(): (string | null)[] {
    return this.heads.map((head) => /\r\nlast-event-id: *([^\r]*)/i.exec(head)?.[1] ?? null);
  }

  /** How often an answer was asked for. */
  get posts(): number {
    return this.heads.filter((head) => head.startsWith("POST /v1/chat/stream ")).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    await new Promise((done) => this.#server.close(done));
  }

  #link(client: Socket): void {
    this.#keep(client);
    if (this.down) return void client.resetAndDestroy();
    const server = this.#keep(connect(Number(this.target.port), this.target.hostname));
    let silent = false;
    client.on("data", (data) => {
      if (/^(GET|POST|DELETE) /.test(data.toString("latin1", 0, 8))) this.heads.push(data.toString("latin1"));
      server.write(data);
    });
    server.on("data", (data) => {
      if (silent) return;
      const fault = this.#fault;
      if (fault === undefined || data.length < fault.left) {
        if (fault !== undefined) fault.left -= data.length;
        client.write(data);
        return;
      }
      this.#fault = undefined;
      this.#faults += 1;
      silent = true;
      // A reset would drop what the client has not read yet; an end in the middle of a chunk is no less of a cut.
      client.write(data.subarray(0, fault.left), () => fault.kind === "cut" && client.destroySoon());
    });
    client.on("close", () => server.destroy());
    server.on("close", () => client.destroySoon());
  }

  #keep(socket: Socket): Socket {
    this.#sockets.add(socket);
    socket.on("error", () => {}); // Resets are what this wire is for.
    socket.on("close", () => this.#sockets.delete(socket));
    return socket;
  }
}
