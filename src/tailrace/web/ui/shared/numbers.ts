/** Figures as people read them. */

const WHOLE = new Intl.NumberFormat("en");

/** `1,234` */
export function count(value: number): string {
  return WHOLE.format(value);
}

/** `120 ms`, `1.24 s`, `2 min 5 s` */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
  return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`;
}

/** `$0`, `$0.00042`, `$1.25` */
export function usd(value: number): string {
  if (value === 0) return "$0";
  const digits = value < 0.01 ? 1 - Math.floor(Math.log10(value)) : 2;
  return `$${value.toFixed(Math.min(digits, 12))}`;
}

/** Tokens a second: `48.2`, `512` */
export function rate(tokens: number, ms: number): string {
  const perSecond = (tokens / Math.max(ms, 1)) * 1000;
  return perSecond < 100 ? perSecond.toFixed(1) : count(Math.round(perSecond));
}
