// The Accounts menu's sessions: one for each credential, which knows the folders that it signs for.
import assert from "node:assert/strict";
import test from "node:test";
import { keysOf, sessionsOf } from "../../src/auth/sessions.ts";
import type { Status, StoredKey } from "../../src/contract.gen.ts";

const status = (uri: string | undefined, fingerprint: string, changes: Partial<Status> = {}): Status => ({
  ...{ busy: false, kind: "Normal", message: "", signedIn: true, method: "api-key", provider: "OpenAI" },
  ...(uri === undefined ? {} : { uri }),
  fingerprint,
  ...changes,
});
const stored = (target: StoredKey["target"], folder?: string, active = false): StoredKey => ({
  ...{ target, provider: "openai", baseUrl: "https://api.openai.com/v1", fingerprint: "sk-…1", keptIn: "keyring" },
  ...{ storedAt: 0, active },
  ...(folder === undefined ? {} : { folder }),
});

test("two folders with keys of their own are two sessions, each with its folder", () => {
  const found = sessionsOf([status("file:///a", "sk-…1"), status("file:///b", "sk-…2")], "salt");
  assert.deepEqual(
    found.map(({ label, uris }) => [label, uris]),
    [
      ["OpenAI sk-…1", ["file:///a"]],
      ["OpenAI sk-…2", ["file:///b"]],
    ],
  );
});

test("one credential for several folders is one session, with all of them", () => {
  const [one, ...others] = sessionsOf([status("file:///a", "sk-…1"), status(undefined, "sk-…1")], "salt");
  assert.deepEqual([one?.uris, others], [["file:///a", undefined], []]);
  const account = { method: "qwen-oauth" };
  const [before] = sessionsOf([status("file:///a", "one token", account)], "salt");
  const [after] = sessionsOf([status("file:///a", "another", account)], "salt");
  assert.deepEqual([before?.label, before?.id], ["Qwen account", after?.id]);
});

test("nobody who is signed out has a session", () => {
  assert.deepEqual(sessionsOf([status("file:///a", "", { signedIn: false })], "salt"), []);
});

test("a folder's key can be forgotten there, also while another one is in force, and no other folder's", () => {
  const keys = [stored("workspaceFolder", "/w/a"), stored("workspaceFolder", "/w/b", true), stored("user")];
  assert.deepEqual(keysOf("/w/a", keys), [keys[0], keys[2]]);
  assert.deepEqual(keysOf(undefined, keys), [keys[2]]);
});
