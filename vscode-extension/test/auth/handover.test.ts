// A key is handed over in a file of its own that nobody else can read, and never stays behind.
import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, stat, unlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import test from "node:test";
import { handOver } from "../../src/auth/handover.ts";

const KEY = "sk-canary-handover";

test("the file is new, its owner's alone, and named as the contract wants", async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "handover-"));
  const seen = await handOver(folder, KEY, async (name) => {
    const file = path.join(folder, name);
    return { name, text: await readFile(file, "utf8"), mode: (await stat(file)).mode & 0o777 };
  });
  assert.match(seen.name, /^[A-Za-z0-9_-]{32}$/);
  assert.deepEqual([seen.text, seen.mode], [KEY, 0o600]);
});

test("it is gone when the server has taken it, has not, or has refused", async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "handover-"));
  await handOver(folder, KEY, (name) => unlink(path.join(folder, name)));
  await handOver(folder, KEY, () => Promise.resolve());
  await assert.rejects(handOver(folder, KEY, () => Promise.reject(new Error("refused"))), /refused/);
  assert.deepEqual(await readdir(folder), []);
});

test("no two files share a name", async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "handover-"));
  const names = await Promise.all(Array.from({ length: 50 }, () => handOver(folder, KEY, (name) => Promise.resolve(name))));
  assert.equal(new Set(names).size, 50);
});

test("a folder that is not there is an error that holds no key", async () => {
  const error = await handOver("/nowhere/at/all", KEY, () => Promise.resolve()).catch((thrown: unknown) => thrown);
  assert.ok(error instanceof Error);
  assert.doesNotMatch(error.message, /canary/);
});
