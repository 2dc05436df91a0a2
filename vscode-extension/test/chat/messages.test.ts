// What VS Code's own chat hands over becomes messages of the contract.
import assert from "node:assert/strict";
import test from "node:test";
import { estimateTokens, messagesOf } from "../../src/chat/messages.ts";

const text = (value: string): { value: string } => ({ value });

test("each speaker keeps the role, and one speaker's messages in a row become one", () => {
  const spoken = [
    { role: 3, content: [text("Be brief.")] },
    { role: 1, content: [text("Hel"), text("lo")] },
    { role: 1, content: [text("Are you there?")] },
    { role: 2, content: [text("Yes.")] },
  ];
  assert.deepEqual(messagesOf(spoken), [
    { role: "system", content: "Be brief." },
    { role: "user", content: "Hello\n\nAre you there?" },
    { role: "assistant", content: "Yes." },
  ]);
});

test("what is no text is left out, and so is a message of nothing else", () => {
  const spoken = [
    { role: 1, content: [{ callId: "1", name: "tool", input: {} }] },
    { role: 1, content: [{ data: new Uint8Array(1) }, text("Look"), null, "?"] },
  ];
  assert.deepEqual(messagesOf(spoken), [{ role: "user", content: "Look" }]);
});

test("an estimate is never too low for nothing, and grows with the text", () => {
  assert.deepEqual([estimateTokens(""), estimateTokens("a"), estimateTokens("a".repeat(400))], [0, 1, 100]);
});
