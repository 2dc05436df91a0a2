// package.json: what it declares is what the extension promises.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import test from "node:test";
import { PROVIDERS, USER_SETTINGS } from "../src/contract.gen.ts";
import { SECTIONS } from "../src/settings.ts";

interface Step {
  description: string;
  media: { markdown: string };
  completionEvents: string[];
}
interface Manifest {
  version: string;
  capabilities: { untrustedWorkspaces: { supported: string } };
  contributes: {
    commands: { command: string; title: string; category: string }[];
    menus: Record<string, { command: string }[]>;
    configuration: { properties: Record<string, { scope: string }> };
    walkthroughs: { steps: Step[] }[];
  };
}

const root = new URL("../", import.meta.url);
const read = (name: string): string => readFileSync(new URL(name, root), "utf8");
const { capabilities, contributes, version } = JSON.parse(read("package.json")) as Manifest;
const declared = contributes.commands.map(({ command }) => command);
const settings = contributes.configuration.properties;

test("every palette entry is ours by name and by id, and none has the id of a command of the server", () => {
  for (const { command, category, title } of contributes.commands) {
    assert.match(command, /^qwenLs\.[a-z][A-Za-z]*$/);
    assert.equal(category, "Qwen");
    assert.match(title, /^[A-Z]/);
  }
});

test("every palette entry is registered, and nothing else is", () => {
  const source = read("src/commands.ts");
  const entries = source.slice(source.indexOf("const entries"), source.indexOf("return vscode.Disposable.from("));
  const registered = [...entries.matchAll(/^ {4}(\w+): (?:async )?\(/gm)].map(([, name]) => `qwenLs.${String(name)}`);
  registered.push(...[...read("src/view/index.ts").matchAll(/"(qwenLs\.\w+)", \(/g)].map(([, name]) => String(name)));
  assert.deepEqual(registered.sort(), [...declared].sort());
});

test("menus and the walkthrough name entries that there are, and pages that there are", () => {
  const named = Object.values(contributes.menus).flatMap((items) => items.map(({ command }) => command));
  const steps = contributes.walkthroughs.flatMap((walkthrough) => walkthrough.steps);
  for (const step of steps) {
    named.push(...[...step.description.matchAll(/\(command:([^)]+)\)/g)].map(([, name]) => String(name)));
    named.push(...step.completionEvents.map((event) => event.replace("onCommand:", "")));
    assert.match(read(step.media.markdown), /^# /);
  }
  assert.deepEqual(
    named.filter((name) => !declared.includes(name)),
    [],
  );
});

// Whoever sets one of these says where keys go, or which program gets them: never a workspace.
const SENSITIVE = ["server.path", "server.python", ...USER_SETTINGS];

test("every setting that steers where keys go can be set by the user alone", () => {
  for (const name of SENSITIVE) {
    const scope = settings[`qwenLs.${name}`]?.scope;
    assert.equal(scope, name.startsWith("server.") ? "machine" : "application", name);
  }
});

test("every setting is known to be sensitive, or is known not to be", () => {
  const harmless = ["trace.server"];
  const all = Object.keys(settings).map((name) => name.replace("qwenLs.", ""));
  assert.deepEqual(all.sort(), [...SENSITIVE, ...harmless].sort());
});

test("a change of any user setting is noticed", () => {
  assert.deepEqual(
    USER_SETTINGS.map((name) => `qwenLs.${name}`).filter((name) => !SECTIONS.includes(name)),
    [],
  );
});

test("the extension has the version of the server that it packs", () => {
  assert.equal(/^version = "(.*)"$/m.exec(read("../pyproject.toml"))?.[1], version);
});

test("an untrusted workspace is served, within limits", () => {
  assert.equal(capabilities.untrustedWorkspaces.supported, "limited");
});

test("the catalogue has a base URL for every provider", () => {
  assert.ok(PROVIDERS.length > 0);
  assert.ok(PROVIDERS.every(({ baseUrls }) => baseUrls.length > 0));
});

test("the lock file names no registry", () => {
  assert.doesNotMatch(read("package-lock.json"), /"resolved"/);
});

test("whatever is read at run time is packed", () => {
  const packed = read(".vscodeignore").split("\n");
  for (const folder of ["dist", "media", "server"]) {
    assert.ok(packed.some((line) => line.startsWith(`!${folder}/`)));
  }
  assert.ok(readdirSync(new URL("media/", root)).includes("icon.png"));
});
