// Waiting for what may never come.

/** What was waited for has not come in time. */
export class Late extends Error {}

/** Nobody waits for it any more. */
export class GivenUp extends Error {}

/** Waits for one thing at a time, for as long as is said and until it is told to give up. */
export class Patience {
  #giveUp: (() => void) | undefined;

  /** What `work` comes to. Rejects with `Late` when it takes longer than so many milliseconds, or with `GivenUp`. */
  async wait<Result>(work: Promise<Result>, milliseconds: number): Promise<Result> {
    work.catch(() => undefined); // it may fail when nobody waits for it any more
    let timer: NodeJS.Timeout | undefined;
    const end = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(new Late(`it has not answered within ${milliseconds / 1000} seconds`));
      }, milliseconds);
      this.#giveUp = () => {
        reject(new GivenUp());
      };
    });
    try {
      return await Promise.race([work, end]);
    } finally {
      clearTimeout(timer);
      this.#giveUp = undefined;
    }
  }

  /** Has whoever waits now wait no longer. */
  giveUp(): void {
    this.#giveUp?.();
  }
}
