/** Moments and spans as people read them. */

const DAY = new Intl.DateTimeFormat("en", { day: "numeric", month: "short", timeZone: "UTC" });
const HOUR = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: "UTC" });

/** `7 s`, `3 min`, `5 h`, `2 d` */
export function span(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86_400)} d`;
}

/** `just now`, `3 min ago` */
export function ago(moment: number, now: number): string {
  const seconds = now - moment;
  if (seconds < 5) return "just now";
  if (seconds < 3600) return seconds < 60 ? `${Math.floor(seconds)} s ago` : `${Math.floor(seconds / 60)} min ago`;
  return seconds < 86_400 ? `${Math.floor(seconds / 3600)} h ago` : `${Math.floor(seconds / 86_400)} d ago`;
}

/** `20 Nov` in UTC's days. */
export function day(moment: number): string {
  return DAY.format(moment * 1000);
}

/** `14:00`, in UTC. */
export function hour(moment: number): string {
  return HOUR.format(moment * 1000);
}

/** `2026-11-20` */
export function date(moment: number): string {
  return new Date(moment * 1000).toISOString().slice(0, 10);
}
