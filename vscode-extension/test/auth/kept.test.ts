// Keys that VS Code keeps: one per folder, one per provider for the user, handed over again as they were.
import assert from "node:assert/strict";
import test from "node:test";
import { KeptKeys, nameOf, restoring, type KeptKey, type Secrets } from "../../src/auth/kept.ts";

/** A store that answers later, as VS Code's does. */
class Store implements Secrets {
  readonly values = new Map<string, string>();

  get(name: string): Promise<string | undefined> {
    return Promise.resolve(this.values.get(name));
  }

  store(name: string, value: string): Promise<void> {
    return Promise.resolve().then(() => void this.values.set(name, value));
  }

  delete(name: string): Promise<void> {
    return Promise.resolve().then(() => void this.values.delete(name));
  }
}

const forUser = (provider: string, key = "sk-1"): KeptKey => ({
  key,
  target: "user",
  provider,
  baseUrl: `https://${provider}.example/v1`,
});
const forFolder = (folder: string, key = "sk-2"): KeptKey => ({
  ...forUser("openai", key),
  target: "workspaceFolder",
  folder,
  uri: `file://${folder}`,
});

test("a key replaces the one of the same name, and no other", async () => {
  const kept = new KeptKeys(new Store());
  await kept.keep(forUser("openai", "old"));
  await kept.keep(forUser("deepseek"));
  await kept.keep(forFolder("/a"));
  await kept.keep(forFolder("/b"));
  await kept.keep(forUser("openai", "new"));
  const found = (await kept.all()).map((key) => [nameOf(key), key.key]);
  assert.deepEqual(found, [
    ["user:deepseek", "sk-1"],
    ["folder:/a", "sk-2"],
    ["folder:/b", "sk-2"],
    ["user:openai", "new"],
  ]);
});

test("changes that come at once are all made", async () => {
  const kept = new KeptKeys(new Store());
  await Promise.all(["a", "b", "c", "d"].map((name) => kept.keep(forUser(name))));
  assert.equal((await kept.all()).length, 4);
});

test("with the last key the store's entry goes", async () => {
  const store = new Store();
  const kept = new KeptKeys(store);
  await kept.keep(forUser("openai"));
  assert.equal(store.values.size, 1);
  await kept.drop(() => true);
  assert.equal(store.values.size, 0);
});

test("what is no list of ours counts as none", async () => {
  const store = new Store();
  const kept = new KeptKeys(store);
  for (const text of ["", "no JSON", "[]", '{"v":2,"keys":[]}', '{"v":1,"keys":3}', "null"]) {
    store.values.set("qwen-ls.keys", text);
    assert.deepEqual(await kept.all(), []);
  }
});

test("a key is handed over with what belongs to it, and is itself not in the command", () => {
  const params = restoring({ ...forFolder("/a", "sk-canary"), model: "m" }, "FILE");
  assert.deepEqual(params, {
    keyFile: "FILE",
    target: "workspaceFolder",
    provider: "openai",
    baseUrl: "https://openai.example/v1",
    model: "m",
    uri: "file:///a",
    restore: true,
  });
});
