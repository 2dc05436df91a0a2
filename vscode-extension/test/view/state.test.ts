// What the view shows after each message.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { State, ToView, Turn } from "../../src/view/protocol.ts";
import { after, EMPTY, streaming } from "../../src/view/state.ts";

const turn = (id: string, more: Partial<Turn> = {}): Turn => ({
  ...{ id, text: "q", attached: [], answer: "", reasoning: "", state: "streaming" },
  ...more,
});
const delta = (id: string, text: string, kind: "answer" | "reasoning" = "answer"): ToView => ({
  ...{ type: "delta", id, kind, text },
});
const run = (messages: ToView[], state: State = EMPTY): State => messages.reduce(after, state);

test("deltas grow the answer and the reasoning of their turn", () => {
  const grown = run([{ type: "turn", turn: turn("1") }, delta("1", "h", "reasoning"), delta("1", "a"), delta("1", "b")]);
  assert.deepEqual(grown.turns, [turn("1", { reasoning: "h", answer: "ab" })]);
});

test("a delta leaves every other turn the same object", () => {
  const before = run([{ type: "turn", turn: turn("1", { state: "done" }) }, { type: "turn", turn: turn("2") }]);
  const grown = after(before, delta("2", "x"));
  assert.equal(grown.turns[0], before.turns[0]);
  assert.notEqual(grown.turns[1], before.turns[1]);
});

test("a delta after the end, or of an unknown turn, changes nothing", () => {
  const before = run([{ type: "turn", turn: turn("1", { state: "stopped", answer: "a" }) }]);
  assert.deepEqual(run([delta("1", "late"), delta("9", "x")], before), before);
  const under = after(before, { type: "turn", turn: turn("2") });
  assert.deepEqual(run([delta("1", "late"), delta("9", "x")], under), under);
});

test("a turn takes its own place, and a new one comes last", () => {
  const two = run([{ type: "turn", turn: turn("1") }, { type: "turn", turn: turn("2") }]);
  const ended = after(two, { type: "turn", turn: turn("1", { state: "done" }) });
  assert.deepEqual(ended.turns.map(({ id, state }) => [id, state]), [["1", "done"], ["2", "streaming"]]);
  assert.deepEqual(after(ended, { type: "removed", id: "1" }).turns.map(({ id }) => id), ["2"]);
});

test("the turn under way is found", () => {
  assert.equal(streaming(EMPTY), undefined);
  assert.equal(streaming(run([{ type: "turn", turn: turn("1") }]))?.id, "1");
  assert.equal(streaming(run([{ type: "turn", turn: turn("1", { state: "failed" }) }])), undefined);
});
