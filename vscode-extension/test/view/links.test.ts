// The links of an answer that may be followed, and those that may not.
import assert from "node:assert/strict";
import { test } from "node:test";
import { safeLink } from "../../src/view/links.ts";

const FOLLOWED: [string, string][] = [
  ["https://example.com", "https://example.com/"],
  ["HTTPS://Example.com/A?b=c#d", "https://example.com/A?b=c#d"],
  ["https://example.com:8443/x", "https://example.com:8443/x"],
  ["https://bücher.example/", "https://xn--bcher-kva.example/"],
  ["https://[2001:db8::1]/", "https://[2001:db8::1]/"],
];
const SHOWN = [
  "",
  "#part",
  "/path",
  "//example.com/",
  "example.com",
  "http://example.com/",
  "http://127.0.0.1:8000/",
  "command:workbench.action.quit",
  "COMMAND:workbench.action.quit",
  "command:workbench.action.terminal.sendSequence?%7B%22text%22%3A%22x%22%7D",
  "vscode:extension/x.y",
  "vscode-insiders://x",
  "vscode-resource:/etc/passwd",
  "javascript:alert(1)",
  "JaVaScRiPt:alert(1)",
  "java\tscript:alert(1)",
  "data:text/html,<script>1</script>",
  "file:///etc/passwd",
  "mailto:a@example.com",
  "ftp://example.com/",
  "blob:https://example.com/1",
  "https:example.com",
  "https:/example.com",
  "https://",
  "https://user@example.com/",
  "https://user:word@example.com/",
  "https://good.example@bad.example/",
  "https://good.example\\@bad.example/",
  "https://exa mple.com/",
  " https://example.com/",
  "https://example.com/\u0000",
  "https://example.com/\nX: y",
  "https://example.com/\u202egpj.exe",
  "https://example.com/\u200b",
  "https://example.com:99999/",
  `https://example.com/${"a".repeat(2048)}`,
];

for (const [href, followed] of FOLLOWED) {
  test(`${href} is followed as ${followed}`, () => {
    assert.equal(safeLink(href), followed);
  });
}

for (const href of SHOWN) {
  test(`${JSON.stringify(href.slice(0, 60))} is not followed`, () => {
    assert.equal(safeLink(href), undefined);
  });
}
