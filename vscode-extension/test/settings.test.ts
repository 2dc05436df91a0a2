// Settings are the user's only where VS Code says that the user set them.
import assert from "node:assert/strict";
import test from "node:test";
import { userSettings } from "../src/settings.ts";

type Values = Record<string, { globalValue?: unknown; workspaceValue?: unknown; defaultValue?: unknown }>;

function sent(values: Values): Record<string, unknown> {
  return userSettings((name) => values[name]);
}

test("what the user set is sent by the server's name", () => {
  const timeouts = { connect: 5 };
  assert.deepEqual(sent({ "qwenLs.timeouts": { globalValue: timeouts }, "qwenLs.allowPlaintextKeys": { globalValue: false } }), {
    timeouts,
    allowPlaintextKeys: false,
  });
});

test("a workspace's value and a default are not", () => {
  const values: Values = {
    "qwenLs.proxy": { workspaceValue: "http://attacker.example:1", defaultValue: "" },
    "qwenLs.oauthServers": { workspaceValue: { evil: {} } },
    "http.proxy": { workspaceValue: "http://attacker.example:2" },
  };
  assert.deepEqual(sent(values), {});
});

test("VS Code's own proxy counts where the user set it, and ours comes before it", () => {
  const proxy = { "http.proxy": { globalValue: "http://proxy.example:3128" } };
  assert.deepEqual(sent(proxy), { proxy: "http://proxy.example:3128" });
  assert.deepEqual(sent({ ...proxy, "http.proxySupport": { globalValue: "off" } }), {});
  assert.deepEqual(sent({ ...proxy, "qwenLs.proxy": { globalValue: "http://other.example:8080" } }), {
    proxy: "http://other.example:8080",
  });
});

test("an empty text is not set", () => {
  assert.deepEqual(sent({ "qwenLs.caFile": { globalValue: "" }, "http.proxy": { globalValue: "" } }), {});
});
