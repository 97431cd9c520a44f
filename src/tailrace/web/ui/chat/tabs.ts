/** This browser's other tabs: each tells the rest which conversation it has changed. */

const channel = new BroadcastChannel("tailrace.sessions");

/** Tell the other tabs. */
export function tellTabs(session: string): void {
  channel.postMessage(session);
}

/** Hear of the conversations that other tabs have changed. */
export function hearTabs(listener: (session: string) => void): void {
  channel.addEventListener("message", ({ data }) => listener(String(data)));
}
