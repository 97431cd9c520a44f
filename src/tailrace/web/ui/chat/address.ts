/** Which conversation the page shows: it stands in the address, behind the `#`. */

/** One conversation, or two that are asked the same. */
export interface Address {
  readonly sessions: readonly string[];
  readonly hash: string;
  /** It was made just now: the server can have nothing of it. */
  readonly fresh?: boolean;
}

const PAIR = /^(pair-[0-9a-f]{16})-[12]$/;
const PAIR_HASH = /^pair-[0-9a-f]{16}$/;

/** What the address bar says; undefined where it names nothing. */
export function readAddress(): Address | undefined {
  const name = decode(location.hash.slice(1));
  return name === "" ? undefined : addressOf(name);
}

/** A new conversation's address. */
export function newAddress(paired: boolean): Address {
  return { ...addressOf(`${paired ? "pair" : "chat"}-${randomName()}`), fresh: true };
}

/** Where the page shows a session that is kept on the server. */
export function addressOf(session: string): Address {
  const name = PAIR.exec(session)?.[1] ?? session;
  const sessions = PAIR_HASH.test(name) ? [`${name}-1`, `${name}-2`] : [name];
  return { sessions, hash: `#${encodeURIComponent(name)}` };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}

function randomName(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
