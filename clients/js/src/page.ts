/** What the page around us says: hidden or shown, off the network or on it again. In Node it says nothing, ever. */

/** Whether nobody can see the page. */
export function isHidden(): boolean {
  return globalThis.document?.visibilityState === "hidden";
}

/** Whether this machine is surely off the network. */
export function isOffline(): boolean {
  return globalThis.navigator?.onLine === false;
}

/** What may happen to a page. */
export type PageChange = "online" | "shown" | "hidden";

/** Hear of each change until the signal aborts. */
export function watchPage(signal: AbortSignal, listener: (change: PageChange) => void): void {
  const changed = (): void => listener(isHidden() ? "hidden" : "shown");
  globalThis.addEventListener?.("online", () => listener("online"), { signal });
  globalThis.document?.addEventListener("visibilitychange", changed, { signal });
}
