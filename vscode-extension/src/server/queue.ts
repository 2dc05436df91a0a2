// Steps that never overlap.

/** Runs steps one after the other, in the order in which they were asked for. A failed step stops none after it. */
export class Queue {
  #last: Promise<unknown> = Promise.resolve();
  #waiting = new Map<string, Promise<void>>();

  /** Runs a step when its turn comes. One that waits under the same name already stands for both. */
  add(name: string, step: () => Promise<void>): Promise<void> {
    const waiting = this.#waiting.get(name);
    if (waiting !== undefined) {
      return waiting;
    }
    const turn = this.#last.then(() => {
      this.#waiting.delete(name);
      return step();
    });
    this.#waiting.set(name, turn);
    this.#last = turn.catch(() => undefined);
    return turn;
  }
}
