// package.json: what it declares is what the extension promises.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

interface Manifest {
  capabilities: { untrustedWorkspaces: { supported: string } };
  contributes: { commands: { command: string; title: string; category: string }[] };
}

const manifest = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as Manifest;
const lock = readFileSync(new URL("../package-lock.json", import.meta.url), "utf8");

test("every palette entry is ours by name and by id, and none has the id of a command of the server", () => {
  for (const { command, category, title } of manifest.contributes.commands) {
    assert.match(command, /^qwenLs\.[a-z][A-Za-z]*$/);
    assert.equal(category, "Qwen");
    assert.match(title, /^[A-Z.]/);
  }
});

test("an untrusted workspace is served, within limits", () => {
  assert.equal(manifest.capabilities.untrustedWorkspaces.supported, "limited");
});

test("the lock file names no registry", () => {
  assert.doesNotMatch(lock, /"resolved"/);
});
