/** Lets the browser do its own work in the middle of ours: what is at hand comes without a pause, however much it is. */

const LONGEST_MS = 8;

export class Breath {
  #since = performance.now();

  /** Go on at once, or after a pause where the last one was long ago. */
  async take(): Promise<void> {
    if (performance.now() - this.#since < LONGEST_MS) return;
    // Timers that follow each other are held back; messages are not.
    await new Promise<void>((resolve) => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => {
        port1.close();
        resolve();
      };
      port2.postMessage(undefined);
    });
    this.#since = performance.now();
  }
}
