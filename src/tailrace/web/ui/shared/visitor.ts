/** Who is signed in: with nobody's key in open mode, else with a key that was given once and is now a cookie. */

import { client } from "./client.ts";

export interface Visitor {
  /** There are no keys: whoever reaches this server may. */
  readonly open: boolean;
  readonly signed_in: boolean;
  readonly name?: string;
  readonly admin?: boolean;
  /** Why this browser is refused, where no key would help. */
  readonly refusal?: string;
}

export function askVisitor(): Promise<Visitor> {
  return client.request("/session");
}

/** Throws a TailraceError: 401 for a key that is none. */
export async function signIn(key: string): Promise<void> {
  await client.request("/session", { method: "POST", body: { key } });
}

export async function signOut(): Promise<void> {
  await client.request("/session", { method: "DELETE" });
}
