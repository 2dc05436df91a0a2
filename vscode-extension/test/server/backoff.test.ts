// After a crash: wait longer each time, give up in the end, begin anew after a steady while.
import assert from "node:assert/strict";
import test from "node:test";
import { Crashes } from "../../src/server/backoff.ts";

test("each crash in a row waits twice as long, until it is given up", () => {
  const crashes = new Crashes();
  const waits = Array.from({ length: 7 }, () => crashes.next(10));
  assert.deepEqual(waits, [500, 1000, 2000, 4000, 8000, 16000, undefined]);
});

test("a server that has lived for a minute has not crashed again", () => {
  const crashes = new Crashes();
  crashes.next(10);
  crashes.next(10);
  assert.equal(crashes.isFirst, false);
  assert.equal(crashes.next(60_000), 500);
  assert.equal(crashes.isFirst, true);
});

test("the user's restart forgets what was", () => {
  const crashes = new Crashes();
  for (let count = 0; count < 10; count += 1) {
    crashes.next(10);
  }
  crashes.reset();
  assert.equal(crashes.next(10), 500);
});
