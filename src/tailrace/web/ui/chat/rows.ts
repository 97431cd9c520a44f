/** The ledger's rows of answers: what they took and what they cost. */

import { generations, type GenerationRow } from "tailrace/api";

import { client } from "../shared/client.ts";

const PAGE = 200;
/** How far back it is worth looking on a server that many use. */
const PAGES = 5;
const SETTLING_MS = 300;
const SETTLING_TRIES = 10;

/** The rows of these answers, as far as the ledger has them among its latest. */
export async function findRows(ids: ReadonlySet<string>): Promise<Map<string, GenerationRow>> {
  const found = new Map<string, GenerationRow>();
  for await (const row of latestRows()) {
    if (ids.has(row.id)) found.set(row.id, row);
    if (found.size === ids.size) break;
  }
  return found;
}

/** The row of an answer that has ended, once it is settled. */
export async function settledRow(id: string): Promise<GenerationRow | undefined> {
  for (let tries = 0; tries < SETTLING_TRIES; tries++) {
    const row = (await findRows(new Set([id]))).get(id);
    if (row?.status !== "running") return row;
    await new Promise((resolve) => setTimeout(resolve, SETTLING_MS));
  }
  return undefined;
}

/** The latest answer of a conversation, running or not. */
export async function latestOf(sessionId: string): Promise<GenerationRow | undefined> {
  for await (const row of latestRows()) if (row.session_id === sessionId) return row;
  return undefined;
}

async function* latestRows(): AsyncGenerator<GenerationRow> {
  let cursor: string | null = null;
  for (let pages = 0; pages < PAGES; pages++) {
    const page: Awaited<ReturnType<typeof generations>> = await generations(client, {
      limit: PAGE,
      ...(cursor !== null && { cursor }),
    });
    yield* page.data;
    cursor = page.next_cursor;
    if (cursor === null) return;
  }
}
