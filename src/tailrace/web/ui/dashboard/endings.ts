/** The streams that were here a moment ago: how each of them ended. */

import { TailraceError } from "tailrace";
import { state } from "tailrace/api";

import { client } from "../shared/client.ts";
import type { LiveStream } from "./api.ts";

/** A stream that has ended, as it was last seen. */
export interface Ending {
  readonly stream: LiveStream;
  readonly status: string;
  readonly ended_at: number;
}

const SHOWN_S = 20;
/** On a busy server more than these end between two looks: nobody could read them all. */
const MOST = 10;

/** Keeps the last few endings for as long as it takes to read them. */
export class Endings {
  #seen: readonly LiveStream[] = [];
  #ended: Ending[] = [];

  get list(): readonly Ending[] {
    return this.#ended;
  }

  /** Take a look: what ran before and runs no longer has ended. True where something has. */
  async look(running: readonly LiveStream[], now: number): Promise<boolean> {
    const ids = new Set(running.map((stream) => stream.id));
    const gone = this.#seen.filter((stream) => !ids.has(stream.id));
    this.#seen = running;
    const fresh = await Promise.all(gone.slice(0, MOST).map((stream) => describe(stream, now)));
    const told = [...fresh.filter((ending) => ending !== undefined), ...this.#ended];
    this.#ended = told.filter((ending) => now - ending.ended_at < SHOWN_S).slice(0, MOST);
    return gone.length > 0;
  }
}

async function describe(stream: LiveStream, now: number): Promise<Ending | undefined> {
  try {
    const { status, error, usage } = await state(client, stream.id);
    if (status === "running") return undefined;
    const output_tokens = usage?.output_tokens ?? stream.output_tokens;
    const word = error === undefined ? status : words(error.code);
    return { stream: { ...stream, output_tokens, readers: 0 }, status: word, ended_at: now };
  } catch (error) {
    // Its log is kept no longer, or another process's: there is nothing to say of it.
    if (error instanceof TailraceError && error.status !== undefined) return undefined;
    throw error;
  }
}

/** `key_revoked` as people say it. */
export function words(code: string): string {
  return code.replaceAll("_", " ");
}
