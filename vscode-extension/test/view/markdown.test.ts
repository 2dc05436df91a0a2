// What a model's Markdown becomes before it is sanitized.
import assert from "node:assert/strict";
import { test } from "node:test";
import { blocks, html } from "../../src/view/markdown.ts";

test("prose, lists and code become what they are", () => {
  assert.equal(html("a **b** `c`"), "<p>a <strong>b</strong> <code>c</code></p>\n");
  assert.equal(html("3. x"), '<ol start="3">\n<li>x</li>\n</ol>\n');
});

test("a fence is coloured by its language, and unknown languages are left alone", () => {
  const known = html("```python\ndef f(): pass\n```");
  assert.match(known, /^<pre data-language="python"><code class="hljs"><span class="hljs-keyword">def<\/span>/);
  assert.equal(html("```wibble\na<b\n```"), '<pre data-language="wibble"><code class="hljs">a&lt;b\n</code></pre>\n');
});

test("a hostile language name is no markup", () => {
  assert.doesNotMatch(html('```"><img/src=x>\na\n```'), /<img/);
});

test("very long code is shown without colours", () => {
  const long = html(`\`\`\`python\n${"x = 1\n".repeat(20_000)}\`\`\``);
  assert.doesNotMatch(long, /hljs-/);
});

test("HTML in an answer is text", () => {
  assert.equal(html("<img src=x onerror=1>"), "<p>&lt;img src=x onerror=1&gt;</p>\n");
  assert.doesNotMatch(html("<div>\n\n<script>1</script>\n</div>"), /<(script|div)/);
});

test("a link that may be followed names where it goes", () => {
  const link = '<a href="https://example.com/" title="https://example.com/">x</a>';
  assert.equal(html('[x](https://example.com "https://good.example/")'), `<p>${link}</p>\n`);
});

test("other links are shown as code, whichever way they are written", () => {
  const shown = "<p>x <code>command:a.b</code></p>\n";
  assert.equal(html("[x](command:a.b)"), shown);
  assert.equal(html("[x][r]\n\n[r]: command:a.b"), shown);
  assert.equal(html("<command:a.b>"), "<p><code>command:a.b</code></p>\n");
  assert.equal(html("see http://a.example/ now"), "<p>see <code>http://a.example/</code> now</p>\n");
});

test("a link around code and emphasis keeps them and loses the way out", () => {
  assert.equal(
    html("[a *b* `c`](javascript:1)"),
    "<p>a <em>b</em> <code>c</code> <code>javascript:1</code></p>\n",
  );
});

test("an image is named and never loaded", () => {
  for (const image of ["![a](https://x.example/p.png)", "![a][r]\n\n[r]: https://x.example/p.png"]) {
    assert.equal(html(image), "<p>[image: a] <code>https://x.example/p.png</code></p>\n");
  }
  assert.doesNotMatch(html("[![a](https://x.example/p.png)](https://y.example)"), /<img/);
});

test("a long address that is shown is cut", () => {
  assert.ok(html(`![a](data:image/png;base64,${"A".repeat(5000)})`).length < 400);
});

test("control characters and marks of direction are dropped", () => {
  assert.equal(html("a\u001b[31mb\u202ec\u0000"), "<p>a[31mbc</p>\n");
  assert.equal(html("a\r\nb"), "<p>a\nb</p>\n");
});

test("table cells are aligned without a style attribute", () => {
  const table = html("|a|b|\n|-:|:-:|\n|1|2|");
  assert.match(table, /<td class="align-right">1<\/td>\n<td class="align-center">2<\/td>/);
  assert.doesNotMatch(table, /style=/);
});

test("the blocks of a growing text stay the same but for the last", () => {
  const text = "# a\n\nb\n\n```python\nx\n```\n\n- c\n- d";
  const [before, later] = [blocks(text, true), blocks(`${text}\n- e\n\nf`, true)];
  assert.equal(before.length, 4);
  assert.deepEqual(later.slice(0, 3).map((block) => block.key), before.slice(0, 3).map((block) => block.key));
  assert.notEqual(later[3]?.key, before[3]?.key);
});

test("a reference that comes late changes the blocks before it", () => {
  const [early] = blocks("see [x]", true);
  const [late] = blocks("see [x]\n\n[x]: https://example.com", true);
  assert.notEqual(early?.key, late?.key);
  assert.match(late?.render() ?? "", /href="https:\/\/example.com\/"/);
});

test("blocks of the same key render the same", () => {
  const text = "a\n\n```js\nlet x\n```\n\n> b";
  const byKey = new Map(blocks(text, false).map((block) => [block.key, block.render()]));
  for (const block of blocks(`${text}\n\nmore`, false)) {
    assert.equal(byKey.get(block.key) ?? block.render(), block.render());
  }
});

test("what is put together from blocks is what the whole renders to", () => {
  const text = "1. a\n\n   b\n2. c\n\n***\n\n    code\n\nend";
  assert.equal(blocks(text, true).map((block) => block.render()).join(""), html(text));
});
