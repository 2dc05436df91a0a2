// How long to wait after a crash, and when to give up.

const FIRST_MS = 500;
const LONGEST_MS = 30_000;
const STEADY_MS = 60_000; // a server that has lived so long has not crashed "again"
const MOST = 6; // crashes in a row

/** Counts crashes in a row. */
export class Crashes {
  #count = 0;

  /** Milliseconds to wait before the next start, after a server that lived for `lived` of them; undefined: give up. */
  next(lived: number): number | undefined {
    this.#count = lived >= STEADY_MS ? 1 : this.#count + 1;
    return this.#count > MOST ? undefined : Math.min(FIRST_MS * 2 ** (this.#count - 1), LONGEST_MS);
  }

  /** Whether the last crash was the first of its row. */
  get isFirst(): boolean {
    return this.#count === 1;
  }

  /** The user has begun anew. */
  reset(): void {
    this.#count = 0;
  }
}
