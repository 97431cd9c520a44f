/** Character references, such as `&amp;`: those of numbers, and the names that models write. */

const NAMED: Readonly<Record<string, string>> = {
  amp: "&",
  lt: "<",
  gt: ">",
  quot: '"',
  apos: "'",
  nbsp: "\u00a0",
  copy: "©",
  reg: "®",
  trade: "™",
  hellip: "…",
  mdash: "—",
  ndash: "–",
  lsquo: "‘",
  rsquo: "’",
  ldquo: "“",
  rdquo: "”",
  times: "×",
  deg: "°",
  rarr: "→",
  larr: "←",
  euro: "€",
  middot: "·",
  bull: "•",
};
const REFERENCE = /&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|([A-Za-z]{2,8}));/g;

/** The text with its references resolved; those that are not known stay as they are. */
export function decodeEntities(text: string): string {
  return text.includes("&") ? text.replace(REFERENCE, resolve) : text;
}

function resolve(whole: string, decimal?: string, hexadecimal?: string, name?: string): string {
  if (name !== undefined) return Object.hasOwn(NAMED, name) ? NAMED[name]! : whole;
  const code = decimal === undefined ? parseInt(hexadecimal!, 16) : Number(decimal);
  const real = code > 0 && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff);
  return real ? String.fromCodePoint(code) : "\ufffd";
}
