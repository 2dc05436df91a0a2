// The server's own environment is made from a wheel, with no network, once for all windows; what is missing is said.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { chmod, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import test from "node:test";
import { findEnvironment, forgetEnvironment, makeEnvironment, type Making } from "../../src/server/environment.ts";
import { Failure } from "../../src/failure.ts";
import { makeWheelhouse } from "./wheelhouse.ts";

const house = await makeWheelhouse();
process.env["PIP_NO_INDEX"] = "1"; // pip is a child of ours and asks no index
process.env["PIP_FIND_LINKS"] = house.folder;

async function making(changes: Partial<Making> = {}): Promise<Making & { said: string[] }> {
  const storage = await mkdtemp(path.join(tmpdir(), "storage-"));
  const said: string[] = [];
  const report = (line: string): void => void said.push(line);
  const log = (): void => undefined;
  return { storage, wheel: house.wheel, environment: process.env, refused: [], report, log, said, ...changes };
}

async function failureOf(work: Promise<unknown>): Promise<Failure> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof Failure, String(error));
  return error;
}

/** A folder with a program of this name that says `said` and ends with `code`. */
async function pretending(name: string, said: string, code: number): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), "bin-"));
  await writeFile(path.join(folder, name), `#!/bin/sh\necho "${said}"\necho "${said}" >&2\nexit ${code}\n`);
  await chmod(path.join(folder, name), 0o755);
  return folder;
}

test("two windows that make it at once end with one, which runs and is found again", async () => {
  const one = await making();
  assert.equal(await findEnvironment(one.storage, one.wheel), undefined);
  const digest = createHash("sha256").update(readFileSync(one.wheel)).digest("hex").slice(0, 12);
  await writeFile(path.join(one.storage, `server-${digest}.txt`), "server-that-was-deleted");
  const [program, other] = await Promise.all([makeEnvironment(one), makeEnvironment(one)]);
  assert.equal(program, other);
  assert.match(execFileSync(program, ["--version"], { encoding: "utf8" }), /^qwen-ls 1/);
  assert.equal(await findEnvironment(one.storage, one.wheel), program);
  const folders = (await readdir(one.storage)).filter((name) => !name.endsWith(".txt"));
  assert.equal(folders.length, 1);
  const steps = ["looking for Python", "making an environment", "installing the server and what it needs"];
  assert.deepEqual(one.said.sort(), [...steps, ...steps].sort());
  await rm(path.dirname(program), { recursive: true });
  assert.equal(await findEnvironment(one.storage, one.wheel), undefined);
});

test("one that is forgotten is not found any more, and a new one is made beside it", async () => {
  const one = await making();
  const program = await makeEnvironment(one);
  await forgetEnvironment(one.storage, one.wheel);
  assert.equal(await findEnvironment(one.storage, one.wheel), undefined);
  await forgetEnvironment(one.storage, one.wheel);
  const other = await makeEnvironment(one);
  assert.notEqual(other, program);
  assert.equal(await findEnvironment(one.storage, one.wheel), other);
  assert.match(execFileSync(program, ["--version"], { encoding: "utf8" }), /^qwen-ls 1/); // a window may still run it
});

test("what pip cannot get is said in pip's own words, and nothing is left behind", async () => {
  const one = await making();
  process.env["PIP_FIND_LINKS"] = one.storage;
  try {
    const failure = await failureOf(makeEnvironment(one));
    assert.match(failure.message, /^pip could not install the server: .*qwen-ls-needs/);
    assert.equal(failure.data.kind, "no-server");
  } finally {
    process.env["PIP_FIND_LINKS"] = house.folder;
  }
  assert.deepEqual(await readdir(one.storage), []);
});

test("without any Python, the user reads what to install", async () => {
  const failure = await failureOf(makeEnvironment(await making({ environment: { PATH: "" } })));
  assert.match(failure.message, /^There is no Python on PATH\. Install Python 3\.10 or later with venv/);
  assert.equal(failure.data.kind, "no-python");
});

test("a Python that is too old, or has no venv, is named with what is wrong", async () => {
  const old = await pretending("python3", "3.9", 0);
  const bare = await pretending("python", "ModuleNotFoundError: No module named 'ensurepip'", 1);
  const PATH = [old, bare].join(path.delimiter);
  const { message } = await failureOf(makeEnvironment(await making({ environment: { PATH } })));
  assert.match(message, /python3 is 3\.9; .*python has no venv module \(Debian: install python3-venv\)/);
});

test("a Python that the user has set is the only one asked", async () => {
  const old = path.join(await pretending("python3", "3.9", 0), "python3");
  const { message } = await failureOf(makeEnvironment(await making({ python: old })));
  assert.match(message, /^The setting qwenLs\.server\.python names .*python3, which is 3\.9\./);
});

test("it can be cancelled, and leaves nothing behind", async () => {
  const abort = new AbortController();
  const one = await making({ signal: abort.signal });
  const report = (): void => {
    setImmediate(() => {
      abort.abort();
    });
  };
  await assert.rejects(makeEnvironment({ ...one, report }));
  assert.deepEqual(await readdir(one.storage), []);
});
