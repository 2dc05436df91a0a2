// Steps never overlap, and what waits under one name runs once.
import assert from "node:assert/strict";
import test from "node:test";
import { Queue } from "../../src/server/queue.ts";

test("steps run one after the other, in order", async () => {
  const queue = new Queue();
  const seen: string[] = [];
  let open: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  const first = queue.add("a", async () => {
    seen.push("a begins");
    await gate;
    seen.push("a ends");
  });
  const second = queue.add("b", () => {
    seen.push("b");
    return Promise.resolve();
  });
  await Promise.resolve();
  open();
  await Promise.all([first, second]);
  assert.deepEqual(seen, ["a begins", "a ends", "b"]);
});

test("a restart that waits already stands for the next one; one that runs does not", async () => {
  const queue = new Queue();
  let runs = 0;
  const restart = (): Promise<void> =>
    queue.add("restart", () => {
      runs += 1;
      return Promise.resolve();
    });
  await Promise.all([restart(), restart(), restart()]);
  assert.equal(runs, 1);
  await queue.add("restart", async () => {
    void restart();
    await Promise.resolve();
  });
  await queue.add("after", () => Promise.resolve());
  assert.equal(runs, 2);
});

test("a step that fails tells who asked, and stops nobody", async () => {
  const queue = new Queue();
  const failing = queue.add("bad", () => Promise.reject(new Error("no")));
  let ran = false;
  await assert.rejects(failing, /no/);
  await queue.add("good", () => {
    ran = true;
    return Promise.resolve();
  });
  assert.ok(ran);
});
