// The history between two starts of a window.
import assert from "node:assert/strict";
import { test } from "node:test";
import { keep, restore } from "../../src/view/keep.ts";
import type { Turn } from "../../src/view/protocol.ts";

const turn = (id: string, answer = "a"): Turn => ({
  ...{ id, text: "q", attached: [], answer, reasoning: "", state: "done" as const },
});

test("the latest turns are kept, as many as there is room for", () => {
  const turns = Array.from({ length: 30 }, (_, index) => turn(String(index), "x".repeat(100_000)));
  const contexts = new Map([["0", { files: ["old"] }], ["29", { files: ["new"] }]]);
  const kept = keep(turns, contexts);
  assert.deepEqual(kept.turns.map(({ id }) => id), ["21", "22", "23", "24", "25", "26", "27", "28", "29"]);
  assert.deepEqual(kept.contexts, { 29: { files: ["new"] } });
});

test("a message that no answer has begun to is not kept, nor what went along with it: it may hold a secret", () => {
  const turns = [turn("1"), { ...turn("2", ""), text: "sk-canary" }, { ...turn("3", ""), reasoning: "hm" }];
  const kept = keep(turns, new Map([["2", { files: ["sk-canary"] }]]));
  assert.deepEqual([kept.turns.map(({ id }) => id), kept.contexts], [["1", "3"], {}]);
});

test("what is no history is none", () => {
  for (const value of [undefined, null, 1, "x", [], {}, { turns: [{ id: 1 }], contexts: {} }]) {
    assert.deepEqual(restore(value), { turns: [], contexts: {} });
  }
});

test("what was kept comes back", () => {
  const kept = keep([turn("1"), turn("2")], new Map([["2", { files: ["a"] }]]));
  assert.deepEqual(restore(JSON.parse(JSON.stringify(kept))), kept);
});
