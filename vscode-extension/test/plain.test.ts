// What came from outside is no link in a notification.
import assert from "node:assert/strict";
import test from "node:test";
import { plain } from "../src/plain.ts";

test("nothing is a link", () => {
  const text = plain("[a](command:x) and [b](https://example.test/)");
  assert.equal(text, "[a] (command:x) and [b] (https://example.test/)");
});
