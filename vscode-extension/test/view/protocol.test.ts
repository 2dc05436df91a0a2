// What the two sides take from each other, and what they drop.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseFromView, parseToView } from "../../src/view/protocol.ts";
import { EMPTY } from "../../src/view/state.ts";

const GOOD = [
  { type: "ready" },
  { type: "send", text: "hello" },
  { type: "stop" },
  { type: "again", id: "1" },
  { type: "act", id: "1", index: 0 },
  { type: "attach", kind: "file" },
  { type: "detach", id: "1" },
  { type: "copy", text: "" },
  { type: "insert", text: "x" },
  { type: "run", what: "signIn" },
];
const BAD = [
  null,
  undefined,
  "ready",
  7,
  [],
  {},
  { type: "eval", text: "1" },
  { type: "ready", more: 1 },
  { type: "send" },
  { type: "send", text: 1 },
  { type: "send", text: "x".repeat(4_000_001) },
  { type: "act", id: "1", index: -1 },
  { type: "act", id: "1", index: 0.5 },
  { type: "act", id: "1", index: 0, command: "qwen.auth.logout" },
  { type: "attach", kind: "folder" },
  { type: "run", what: "workbench.action.quit" },
  { type: "run", what: "signIn", argument: {} },
];

for (const message of GOOD) {
  test(`${message.type} is taken from the view`, () => {
    assert.deepEqual(parseFromView(message), message);
  });
}

for (const message of BAD) {
  test(`${JSON.stringify([message]).slice(1, 60)} is dropped`, () => {
    assert.equal(parseFromView(message), undefined);
  });
}

test("the view takes the extension's messages and no others", () => {
  const state = { type: "state", state: EMPTY };
  assert.deepEqual(parseToView(state), state);
  assert.equal(parseToView({ type: "state", state: { ...EMPTY, turns: [{}] } }), undefined);
  assert.equal(parseToView({ type: "delta", id: "1", kind: "html", text: "<b>" }), undefined);
  assert.equal(parseToView({ type: "setImmediate$0" }), undefined);
});
