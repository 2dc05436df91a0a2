// The page and its policy.
import assert from "node:assert/strict";
import { test } from "node:test";
import { page, policy } from "../../src/view/page.ts";

const SOURCES = { script: "x:/view.js", style: "x:/view.css", own: "https://own.example", nonce: "bm9uY2U=" };

test("the policy lets in our script by its nonce, our style, and nothing else", () => {
  const rules = new Map(policy(SOURCES).split("; ").map((rule) => [rule.split(" ")[0], rule]));
  assert.equal(rules.get("default-src"), "default-src 'none'");
  assert.equal(rules.get("script-src"), "script-src 'nonce-bm9uY2U='");
  assert.equal(rules.get("style-src"), "style-src https://own.example");
  assert.equal(rules.get("require-trusted-types-for"), "require-trusted-types-for 'script'");
  for (const name of ["img-src", "connect-src", "font-src", "frame-src", "media-src"]) {
    assert.ok(!rules.has(name), `${name} falls back to 'none'`);
  }
  assert.doesNotMatch(policy(SOURCES), /unsafe|\*|https:(?!\/\/own)/);
});

test("the page carries the policy, one script with the nonce, and no style of its own", () => {
  const html = page(SOURCES);
  assert.ok(html.includes(`content="${policy(SOURCES)}"`));
  assert.deepEqual(html.match(/<script[^>]*>/g), ['<script nonce="bm9uY2U=" src="x:/view.js">']);
  assert.doesNotMatch(html, /style=|<style|<img|onclick/);
});
