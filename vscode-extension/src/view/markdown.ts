// A model's Markdown -> HTML, block by block.
//
// Raw HTML is text. Links that may not be followed, and every image, are shown as code. What comes out is
// still to be sanitized (web/sanitize.ts): no single layer is trusted.
import hljs from "highlight.js/lib/common";
import MarkdownIt, { type Env, type Token } from "markdown-it";
import { safeLink } from "./links.ts";

/** A top-level piece of the text; two blocks of the same key render to the same HTML. */
export interface Block {
  key: string;
  render: () => string;
}

const LONGEST_CODE = 100_000; // characters; longer code is shown without colours
const LONGEST_OPEN_CODE = 10_000; // the same while it is still growing: it is coloured anew with each frame
const LONGEST_TARGET = 200; // characters of an address that is shown as code
// What a view could obey or hide behind: C0/C1 (but tab and line feed), marks of direction.
// eslint-disable-next-line no-control-regex -- these are what is looked for
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

const markdown = new MarkdownIt("default", { html: false, linkify: true, typographer: false });
markdown.linkify.set({ fuzzyLink: false, fuzzyEmail: false, fuzzyIP: false });
markdown.validateLink = () => true; // each link is judged below: none stays as raw Markdown
markdown.core.ruler.push("qwen", (state) => {
  for (const token of state.tokens) {
    if (token.children !== null) {
      token.children = judged(token.children, state.Token);
    }
    alignByClass(token);
  }
});
markdown.renderer.rules["fence"] = (tokens, index, _options, env) => code(at(tokens, index), env);
markdown.renderer.rules["code_block"] = (tokens, index, _options, env) => code(at(tokens, index), env);

/** The text's top-level blocks; `growing` while more of it may come. */
export function blocks(text: string, growing: boolean): Block[] {
  const source = text.replace(/\r\n?/g, "\n").replace(CONTROL, "");
  const env: Env = {};
  const tokens = markdown.parse(source, env);
  const lines = source.split("\n");
  const references = JSON.stringify(env.references ?? {}); // a definition changes blocks before it
  const groups = topLevel(tokens);
  return groups.map((group, index) => {
    const open = growing && index === groups.length - 1;
    const [first, end] = group[0]?.map ?? [0, 0];
    const key = [open ? "open" : "whole", references, ...lines.slice(first, end)].join("\n");
    return { key, render: () => markdown.renderer.render(group, markdown.options, { ...env, open }) };
  });
}

/** The whole text at once. */
export function html(text: string): string {
  return blocks(text, false)
    .map((block) => block.render())
    .join("");
}

function topLevel(tokens: Token[]): Token[][] {
  const groups: Token[][] = [];
  let group: Token[] = [];
  for (const token of tokens) {
    group.push(token);
    if (token.level === 0 && token.nesting !== 1) {
      groups.push(group);
      group = [];
    }
  }
  return groups;
}

type TokenClass = new (type: string, tag: string, nesting: Token["nesting"]) => Token;

function text(content: string, Made: TokenClass): Token {
  const token = new Made("text", "", 0);
  token.content = content;
  return token;
}

function target(href: string, Made: TokenClass): Token {
  const token = new Made("code_inline", "code", 0);
  token.content = href.length > LONGEST_TARGET ? `${href.slice(0, LONGEST_TARGET)}…` : href;
  return token;
}

/** Inline tokens with only links that may be followed, and no images. */
function judged(tokens: Token[], Made: TokenClass): Token[] {
  const kept: Token[] = [];
  let refused: { href: string; bare: boolean } | undefined;
  for (const token of tokens) {
    if (token.type === "link_open") {
      const href = attribute(token, "href");
      const safe = safeLink(href);
      if (safe === undefined) {
        refused = { href, bare: token.info === "auto" };
      } else {
        token.attrs = [["href", safe], ["title", safe]]; // what is followed, whatever the text says
        kept.push(token);
      }
    } else if (token.type === "link_close" && refused !== undefined) {
      if (!refused.bare) {
        kept.push(text(" ", Made));
      }
      kept.push(target(refused.href, Made));
      refused = undefined;
    } else if (token.type === "image") {
      kept.push(text(`[image: ${token.content}] `, Made), target(attribute(token, "src"), Made));
    } else if (!refused?.bare) {
      kept.push(token);
    }
  }
  return kept;
}

/** Table cells are aligned by a class: the content security policy allows no style attribute. */
function alignByClass(token: Token): void {
  const style = attribute(token, "style");
  if (style === "") {
    return;
  }
  const side = /^text-align:(left|center|right)$/.exec(style)?.[1];
  token.attrs = side === undefined ? null : [["class", `align-${side}`]];
}

function attribute(token: Token, name: string): string {
  return String(token.attrGet(name) ?? "");
}

function at(tokens: Token[], index: number): Token {
  const token = tokens[index];
  if (token === undefined) {
    throw new RangeError(`no token ${index}`);
  }
  return token;
}

function code(token: Token, env: Env | undefined): string {
  const language = /^[\w+#.-]{1,40}/.exec(token.info.trim())?.[0] ?? "";
  const longest = env?.["open"] === true ? LONGEST_OPEN_CODE : LONGEST_CODE;
  const known = hljs.getLanguage(language) !== undefined && token.content.length <= longest;
  const body = known
    ? hljs.highlight(token.content, { language, ignoreIllegals: true }).value
    : markdown.utils.escapeHtml(token.content);
  return `<pre data-language="${markdown.utils.escapeHtml(language)}"><code class="hljs">${body}</code></pre>\n`;
}
