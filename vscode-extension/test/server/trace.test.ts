// What the output shows of the protocol: everything but the texts of documents and a proxy's password.
import assert from "node:assert/strict";
import test from "node:test";
import type { LogOutputChannel } from "vscode";
import { redacted, tracing } from "../../src/server/trace.ts";

const KEY = "sk-canary";
const textDocument = { uri: "file:///w/.env", languageId: "dotenv", version: 1 };
const sent = (method: string, params: object): string =>
  `Sending notification '${method}'.\nParams: ${JSON.stringify(params, null, 4)}`;
const text = `OPENAI_API_KEY=${KEY}\n`;
const SECRETS: Record<string, string> = {
  "a document that is opened": sent("textDocument/didOpen", { textDocument: { ...textDocument, text } }),
  "one that changes": sent("textDocument/didChange", { textDocument, contentChanges: [{ text }] }),
  "one that is saved": sent("textDocument/didSave", { textDocument, text }),
  "a selection": sent("qwen/chat/send", { context: { selection: { uri: textDocument.uri, text } } }),
  "as JSON": JSON.stringify({ isLSPMessage: true, message: { params: { textDocument: { ...textDocument, text } } } }),
  "a proxy": sent("initialize", { initializationOptions: { user: { proxy: `http://me:${KEY}@proxy:8080` } } }),
  "a proxy without a scheme": `Sending response 'x'.\nResult: ${JSON.stringify([{ proxy: `me:a@${KEY}@proxy` }])}`,
  "what is cut off": sent("textDocument/didOpen", { textDocument: { ...textDocument, text } }).slice(0, -1),
};

for (const [name, line] of Object.entries(SECRETS)) {
  test(`what is secret is left out: ${name}`, () => {
    assert.ok(line.includes(KEY));
    assert.ok(!redacted(line).includes(KEY));
    assert.equal(redacted(line).split("\n")[0], line.startsWith("{") ? "{" : line.split("\n")[0]);
  });
}

test("the rest stands there as it is", () => {
  const proxy = { proxy: "http://proxy:8080" };
  for (const line of ["Sending request 'x - (1)'.", sent("x", { ...proxy, messages: [{ text: "hi" }] }), "No result", ""]) {
    assert.equal(redacted(line), line);
  }
  const url = redacted(sent("initialize", { proxy: `http://me:${KEY}@proxy:8080` }));
  assert.match(url, /"http:\/\/…@proxy:8080"/);
});

test("a log keeps its state and methods, and its trace is redacted", () => {
  const seen: unknown[] = [];
  class Log {
    #level = 1;
    get logLevel(): number {
      return this.#level;
    }
    trace(...said: unknown[]): void {
      seen.push(this.#level, ...said);
    }
    info(...said: unknown[]): void {
      seen.push(this.#level, ...said);
    }
  }
  const log = tracing(new Log() as unknown as LogOutputChannel);
  log.info("one");
  log.trace(SECRETS["a proxy"] ?? "", "more");
  assert.equal(log.logLevel, 1);
  assert.deepEqual(seen.slice(0, 3), [1, "one", 1]);
  assert.ok(!JSON.stringify(seen).includes(KEY));
  assert.equal(seen.at(-1), "more");
});
