// HTML of a rendered answer -> nodes that may stand in the view. The last layer: it knows nothing of Markdown.
import createDOMPurify, { type WindowLike } from "dompurify";

const TAGS = [
  ...["a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p"],
  ...["pre", "s", "span", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul"],
];
const ATTRIBUTES = ["class", "data-language", "href", "start", "title"];
const CLASSES = /^(?:hljs(?:-[\w-]+)?|function_|class_|inherited__|invoke__|constant_|language_|escape_|align-(?:left|center|right))$/;

/** Makes the sanitizer of a window. */
export function sanitizer(window: WindowLike): (html: string) => DocumentFragment {
  const purify = createDOMPurify(window);
  purify.addHook("uponSanitizeAttribute", (_node, data) => {
    if (data.attrName === "class") {
      data.attrValue = data.attrValue.split(/\s+/).filter((name) => CLASSES.test(name)).join(" ");
    }
  });
  return (html) =>
    purify.sanitize(html, {
      ALLOWED_TAGS: TAGS,
      ALLOWED_ATTR: ATTRIBUTES,
      ALLOW_DATA_ATTR: false,
      ALLOW_ARIA_ATTR: false,
      ALLOWED_URI_REGEXP: /^https:\/\//i,
      ADD_URI_SAFE_ATTR: ["data-language", "start"], // every other value must be an address we allow
      RETURN_DOM_FRAGMENT: true,
    });
}
