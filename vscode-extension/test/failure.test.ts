// A failure keeps the server's own line, kind and next steps; one of another making is internal.
import assert from "node:assert/strict";
import test from "node:test";
import { Failure, failureOf } from "../src/failure.ts";

test("the server's data goes along", () => {
  const data = { kind: "signed-out", remedy: "Sign in", actions: [{ title: "Sign in", command: "qwen.auth.login" }] };
  const failure = failureOf(Object.assign(new Error("Nobody is signed in"), { code: -32803, data }));
  assert.deepEqual([failure.message, failure.data], ["Nobody is signed in", data]);
  assert.equal(failureOf(failure), failure);
});

test("what the user ended is known as that", () => {
  assert.ok(failureOf(Object.assign(new Error("x"), { code: -32800 })).isCancelled);
  assert.ok(new Failure("x", { kind: "login-cancelled", remedy: "" }).isCancelled);
  assert.ok(!failureOf(new Error("x")).isCancelled);
});

test("anything else is internal", () => {
  assert.equal(failureOf("text").data.kind, "internal");
  assert.equal(failureOf(undefined).message, "undefined");
  assert.equal(failureOf(Object.assign(new Error("x"), { data: { problems: [] } })).data.kind, "internal");
});
