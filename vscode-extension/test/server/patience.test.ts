// What never comes is not waited for: neither beyond its time, nor when somebody gives it up.
import assert from "node:assert/strict";
import test from "node:test";
import { GivenUp, Late, Patience } from "../../src/server/patience.ts";

const never = new Promise<never>(() => undefined);

test("what comes in time is what is waited for, its failure too", async () => {
  const patience = new Patience();
  assert.equal(await patience.wait(Promise.resolve(1), 1000), 1);
  await assert.rejects(patience.wait(Promise.reject(new Error("no")), 1000), /no/);
});

test("what does not come in time is late", async () => {
  await assert.rejects(new Patience().wait(never, 1), Late);
});

test("what is given up is over at once, and giving up with nobody waiting does nothing", async () => {
  const patience = new Patience();
  patience.giveUp();
  const waiting = patience.wait(never, 60_000);
  patience.giveUp();
  await assert.rejects(waiting, GivenUp);
  patience.giveUp();
});

test("what fails later, when nobody waits any more, bothers nobody", async () => {
  const { promise, reject } = Promise.withResolvers<never>();
  await assert.rejects(new Patience().wait(promise, 1), Late);
  reject(new Error("much later"));
  await new Promise(setImmediate);
});
