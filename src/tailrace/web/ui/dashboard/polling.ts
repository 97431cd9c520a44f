/** Asks again and again, while somebody sees the page: a hidden tab asks for nothing. */

/** One thing that is asked for in turns; a turn begins when the one before has ended. */
export class Poll {
  readonly #work: () => Promise<void>;
  readonly #pauseMs: number;
  readonly #fail: (error: unknown) => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #turn: Promise<void> | undefined;
  #again = false;

  /** `fail` is told what a turn threw; the next turn comes all the same. */
  constructor(work: () => Promise<void>, pauseMs: number, fail: (error: unknown) => void) {
    this.#work = work;
    this.#pauseMs = pauseMs;
    this.#fail = fail;
  }

  start(): void {
    document.addEventListener("visibilitychange", () => this.#look());
    this.now();
  }

  /** Ask at once; while a turn is under way, right after it. */
  now(): void {
    clearTimeout(this.#timer);
    if (document.hidden) return;
    if (this.#turn !== undefined) {
      this.#again = true;
      return;
    }
    this.#turn = this.#work()
      .catch(this.#fail)
      .finally(() => this.#plan());
  }

  #plan(): void {
    this.#turn = undefined;
    if (document.hidden) return;
    const pause = this.#again ? 0 : this.#pauseMs;
    this.#again = false;
    this.#timer = setTimeout(() => this.now(), pause);
  }

  #look(): void {
    if (document.hidden) clearTimeout(this.#timer);
    else this.now();
  }
}
