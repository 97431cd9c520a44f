/** Draws at most once a frame, and less often when drawing is dear: what arrives in between is drawn with the next. */

/** The share of the time that drawing may take is one in this. */
const SHARE = 3;

export class Painter {
  readonly #draw: () => void;
  #due = false;
  #restUntil = 0;

  constructor(draw: () => void) {
    this.#draw = draw;
  }

  /** Draw soon. */
  request(): void {
    if (this.#due) return;
    this.#due = true;
    const rest = this.#restUntil - performance.now();
    if (rest > 0) setTimeout(() => this.#schedule(), rest);
    else this.#schedule();
  }

  /** A page that nobody sees has no frames. */
  #schedule(): void {
    if (document.hidden) setTimeout(() => this.#paint());
    else requestAnimationFrame(() => this.#paint());
  }

  #paint(): void {
    this.#due = false;
    const start = performance.now();
    this.#draw();
    // A message comes after the browser's own work on this frame, which may well be the greater part.
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      const end = performance.now();
      this.#restUntil = end + (SHARE - 1) * (end - start);
      port1.close();
    };
    port2.postMessage(undefined);
  }
}
