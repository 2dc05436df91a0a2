// A program is found on PATH by its absolute place, never in the current directory or a refused folder.
import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import test from "node:test";
import { findOnPath, isWithin, run } from "../../src/server/programs.ts";

async function scene(): Promise<string> {
  const root = await mkdtemp(path.join(tmpdir(), "programs-"));
  for (const name of ["workspace/bin", "usr/bin"]) {
    await mkdir(path.join(root, name), { recursive: true });
    const program = path.join(root, name, "qwen-ls");
    await writeFile(program, "#!/bin/sh\n");
    await chmod(program, 0o755);
  }
  return root;
}

test("the first on PATH is taken", async () => {
  const root = await scene();
  const PATH = [path.join(root, "nowhere"), path.join(root, "usr/bin"), path.join(root, "workspace/bin")];
  assert.equal(await findOnPath("qwen-ls", { PATH: PATH.join(path.delimiter) }), path.join(root, "usr/bin/qwen-ls"));
});

test("one of an untrusted workspace is passed over", async () => {
  const root = await scene();
  const PATH = [path.join(root, "workspace/bin"), path.join(root, "usr/bin")].join(path.delimiter);
  const found = await findOnPath("qwen-ls", { PATH }, [path.join(root, "workspace")]);
  assert.equal(found, path.join(root, "usr/bin/qwen-ls"));
});

test("a relative entry means the current directory, and is passed over", async () => {
  const root = await scene();
  const before = process.cwd();
  process.chdir(path.join(root, "workspace"));
  try {
    assert.equal(await findOnPath("qwen-ls", { PATH: `bin${path.delimiter}.${path.delimiter}` }), undefined);
  } finally {
    process.chdir(before);
  }
});

test("what cannot be run is no program", async () => {
  const root = await scene();
  await chmod(path.join(root, "usr/bin/qwen-ls"), 0o644);
  await mkdir(path.join(root, "folder/qwen-ls"), { recursive: true });
  const PATH = [path.join(root, "usr/bin"), path.join(root, "folder")].join(path.delimiter);
  assert.equal(await findOnPath("qwen-ls", { PATH }), undefined);
  assert.equal(await findOnPath("qwen-ls", {}), undefined);
});

test("a folder holds itself and what is in it, and nothing whose name only begins like it", () => {
  assert.ok(isWithin("/a/b", "/a/b"));
  assert.ok(isWithin("/a/b/c", "/a/b"));
  assert.ok(!isWithin("/a/bc", "/a/b"));
  assert.ok(!isWithin("/a", "/a/b"));
});

test("a program's end is told with what it said; one that cannot be run is an error", async () => {
  const ended = await run(process.execPath, ["-e", "console.log(1); console.error(2); process.exit(3)"], { cwd: tmpdir() });
  assert.deepEqual(ended, { code: 3, stdout: "1\n", stderr: "2\n" });
  await assert.rejects(run("/nowhere/at/all", [], { cwd: tmpdir() }));
});

test("a program that takes too long, or is cancelled, is ended", async () => {
  const endless = ["-e", "setInterval(() => {}, 1000)"];
  await assert.rejects(run(process.execPath, endless, { cwd: tmpdir(), timeout: 100 }));
  const abort = new AbortController();
  const running = run(process.execPath, endless, { cwd: tmpdir(), signal: abort.signal });
  abort.abort();
  await assert.rejects(running);
});
