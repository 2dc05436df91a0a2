// The last layer, fed with HTML that the Markdown layer would never let through, and with hostile Markdown.
import assert from "node:assert/strict";
import { test } from "node:test";
import { html } from "../../../src/view/markdown.ts";
import { sanitizer } from "../../../src/view/web/sanitize.ts";
import { window } from "./window.ts";

const sanitize = sanitizer(window);

function clean(dirty: string): string {
  const box = window.document.createElement("div");
  box.append(sanitize(dirty));
  return box.innerHTML;
}

const HTML = [
  "<script>alert(1)</script>",
  "<img src=x onerror=alert(1)>",
  "<svg onload=alert(1)><script>1</script></svg>",
  "<svg><style><img src=x onerror=1></style></svg>",
  "<math><mtext><table><mglyph><style><img src=x onerror=1>",
  "<iframe src=https://example.com></iframe>",
  "<iframe srcdoc='<script>1</script>'></iframe>",
  "<object data=x></object><embed src=x>",
  "<link rel=stylesheet href=https://example.com/x.css>",
  "<style>*{background:url(https://example.com)}</style>",
  "<base href=https://example.com/>",
  "<meta http-equiv=refresh content='0;url=https://example.com'>",
  "<form action=https://example.com><input name=a><button>go</button></form>",
  "<video src=https://example.com/x poster=https://example.com/y></video>",
  "<audio src=https://example.com/x></audio>",
  "<p style='background:url(https://example.com/x)'>a</p>",
  "<p onclick=alert(1) onmouseover=alert(1)>a</p>",
  "<p id=send>a</p>",
  "<p data-run=signIn aria-label=x tabindex=1 contenteditable>a</p>",
  "<a href='javascript:alert(1)'>a</a>",
  "<a href='jav&#x09;ascript:alert(1)'>a</a>",
  "<a href='command:workbench.action.quit'>a</a>",
  "<a href='vscode:x'>a</a>",
  "<a href='data:text/html,1'>a</a>",
  "<a href='http://example.com'>a</a>",
  "<a href='//example.com'>a</a>",
  "<a href='/x'>a</a>",
  "<a href='https:example.com'>a</a>",
  "<a target=_blank ping=https://example.com download href='https://example.com/'>a</a>",
  "<table background=https://example.com/x><tr><td background=https://example.com/x>a</table>",
  "<template><img src=x onerror=1></template>",
  "<noscript><img src=x onerror=1></noscript>",
  "<custom-element onx=1>a</custom-element>",
  "<details open ontoggle=alert(1)>a</details>",
  "<input autofocus onfocus=alert(1)>",
  "<span class='unseen failure primary'>a</span>",
];
const SCHEMES = ["javascript", "command", "vscode", "vscode-insiders", "data", "file", "http", "ftp", "blob", "x"];
const WAYS: ((href: string) => string)[] = [
  (href) => `[a](${href})`,
  (href) => `[a](<${href}>)`,
  (href) => `[a](${href} "title")`,
  (href) => `[a][r]\n\n[r]: ${href}`,
  (href) => `[a]\n\n[a]: ${href}`,
  (href) => `<${href}>`,
  (href) => `<a href="${href}">a</a>`,
  (href) => `![a](${href})`,
  (href) => `[![a](${href})](${href})`,
  (href) => `| a |\n|---|\n| [a](${href}) |`,
  (href) => `> - [*a*](${href})`,
  (href) => `# [a](${href.toUpperCase()})`,
];

function harmless(markup: string): void {
  const box = window.document.createElement("div");
  box.innerHTML = markup;
  for (const element of box.querySelectorAll("*")) {
    assert.match(element.localName, /^(a|blockquote|br|code|del|em|h[1-6]|hr|li|ol|p|pre|s|span|strong|t(able|body|[dhr]|head)|ul)$/);
    for (const { name, value } of element.attributes) {
      assert.match(name, /^(class|data-language|href|start|title)$/);
      assert.ok(name !== "href" || /^https:\/\//i.test(value), `${value} is no link to follow`);
      assert.ok(name !== "class" || /^(hljs\S*|align-\w+|\s|\w+_)*$/.test(value), `${value} is none of our classes`);
    }
  }
}

for (const dirty of HTML) {
  test(`${dirty.slice(0, 70)} comes out harmless`, () => {
    harmless(clean(dirty));
  });
}

for (const scheme of SCHEMES) {
  test(`a link to ${scheme}: is never one that can be followed, however it is written`, () => {
    for (const way of WAYS) {
      const markup = clean(html(way(`${scheme}://example.com/x?y`)));
      harmless(markup);
      assert.doesNotMatch(markup, /<a |<img/);
    }
  });
}

test("what our own Markdown makes goes through unchanged", () => {
  const text =
    "# h\n\n3. a\n\n> **b** ~~c~~ [d](https://example.com)\n\n```python\ndef f(): return 'x'\n```\n\n|a|\n|-:|\n|1|\n\n---";
  const once = clean(html(text));
  const box = window.document.createElement("div");
  box.innerHTML = html(text);
  assert.equal(once, box.innerHTML);
  assert.match(once, /data-language="python".*hljs-keyword/s);
  assert.match(once, /<ol start="3">/);
});

test("a script that would be made by putting pieces together is not", () => {
  harmless(clean("<scr<script>ipt>alert(1)</scr</script>ipt>"));
  harmless(clean("<p title='</p><img src=x onerror=1>'>a</p>"));
});
