// An answer's Markdown as nodes, kept in step with the text at the cost of what is new in it.
import { blocks } from "../markdown.ts";
import type { FromView } from "../protocol.ts";
import { button, make } from "./dom.ts";

/** What the parts of the page are given: the sanitizer, and a way to the extension. */
export interface Means {
  sanitize: (html: string) => DocumentFragment;
  say: (message: FromView) => void;
}

/** Shows a growing text in an element: only blocks that have changed are rendered and replaced. */
export class Prose {
  readonly element = make("div", { className: "prose" });
  readonly #means: Means;
  #shown: { key: string; nodes: ChildNode[] }[] = [];

  constructor(means: Means) {
    this.#means = means;
  }

  /** Shows the text; `growing` while more of it may come. */
  update(text: string, growing: boolean): void {
    const wanted = blocks(text, growing);
    let same = 0;
    while (same < wanted.length && wanted[same]?.key === this.#shown[same]?.key) {
      same++;
    }
    for (const { nodes } of this.#shown.splice(same)) {
      for (const node of nodes) {
        node.remove();
      }
    }
    for (const block of wanted.slice(same)) {
      const fragment = this.#means.sanitize(block.render());
      for (const pre of fragment.querySelectorAll("pre")) {
        frame(pre, this.#means);
      }
      for (const table of fragment.querySelectorAll("table")) {
        scrollable(table);
      }
      this.#shown.push({ key: block.key, nodes: [...fragment.childNodes] });
      this.element.append(fragment);
    }
  }
}

/** Puts a code block under its bar: the language, Copy and Insert. */
function frame(pre: HTMLPreElement, { say }: Means): void {
  const language = pre.getAttribute("data-language") ?? "";
  const name = language === "" ? "code" : `${language} code`;
  const text = pre.textContent;
  const bar = make(
    "div",
    { className: "bar" },
    make("span", { className: "language" }, language),
    button("Copy", { title: `Copy this ${name}` }, () => {
      say({ type: "copy", text });
    }),
    button("Insert", { title: `Insert this ${name} at the cursor` }, () => {
      say({ type: "insert", text });
    }),
  );
  const figure = make("figure", { className: "code", attributes: { "aria-label": name } });
  pre.replaceWith(figure);
  pre.tabIndex = 0; // it scrolls sideways: by keyboard too
  figure.append(bar, pre);
}

function scrollable(table: HTMLTableElement): void {
  const box = make("div", { className: "wide", tabIndex: 0, attributes: { role: "region", "aria-label": "Table" } });
  table.replaceWith(box);
  box.append(table);
}
