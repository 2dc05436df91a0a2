// What goes along with messages.
import assert from "node:assert/strict";
import { test } from "node:test";
import { isEmpty, lines, merged, nameOf, retold } from "../../src/view/context.ts";

const selection = { uri: "file:///w/src/a%20b.py", startLine: 2, endLine: 9, text: "x = 1", languageId: "python" };
const problem = { uri: "file:///w/a.py", line: 2, severity: "error" as const, message: "no", source: "ruff", code: "E1" };

test("files are named once, problems add up, the later selection counts", () => {
  const one = { files: ["a", "b"], selection, diagnostics: [problem] };
  const two = { files: ["b", "c"], selection: { ...selection, text: "y" }, diagnostics: [problem] };
  const both = merged(one, two);
  assert.deepEqual(both.files, ["a", "b", "c"]);
  assert.equal(both.selection?.text, "y");
  assert.equal(both.diagnostics?.length, 2);
});

test("nothing merged with nothing is nothing", () => {
  assert.deepEqual(merged({}, { files: [] }), {});
  assert.ok(isEmpty({ files: [], diagnostics: [] }));
  assert.ok(!isEmpty({ files: ["a"] }));
});

test("an earlier message tells of its selection and problems", () => {
  assert.equal(
    retold("why?", { selection, diagnostics: [problem] }),
    "why?\n\nSelection in a b.py, lines 3 to 9:\n```python\nx = 1\n```\n\n" +
      "Diagnostics:\n```\na.py:3 error: no [ruff E1]\n```",
  );
  assert.equal(retold("why?", {}), "why?");
});

test("an earlier message mentions its files, by their paths in the folder where they are", () => {
  const files = ["file:///w/src/a%20b.py", "file:///x/c.py", "file:///w/%22.py", "untitled:Untitled-1"];
  assert.equal(retold("why?", { files }, "file:///w"), '@file:"src/a b.py"\n@file:"/x/c.py"\n\nwhy?');
  assert.equal(retold("why?", { files: ["file:///w/..b.py"] }, "file:///w"), '@file:"..b.py"\n\nwhy?');
  assert.equal(retold("why?", { files: ["file:///w/c.py"] }), '@file:"/w/c.py"\n\nwhy?');
  assert.equal(retold("why?", { files: ["untitled:Untitled-1"] }, "file:///w"), "why?");
});

test("nothing in a selection ends its fence", () => {
  const fenced = retold("q", { selection: { ...selection, text: "```\n````\n" } });
  assert.ok(fenced.endsWith("`````python\n```\n````\n`````"));
});

test("lines are told as people count them", () => {
  assert.equal(lines({ startLine: 0, endLine: 1 }), "line 1");
  assert.equal(lines({ startLine: 4, endLine: 4 }), "line 5");
  assert.equal(lines({ startLine: 4, endLine: 7 }), "lines 5 to 7");
});

test("a name that is not encoded as it should be is shown as it is", () => {
  assert.equal(nameOf("file:///w/100%"), "100%");
});
