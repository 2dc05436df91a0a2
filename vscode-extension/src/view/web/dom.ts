// Elements made without any HTML text.

/** An element with properties, `aria-` and `data-` attributes, and children. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Partial<Omit<HTMLElementTagNameMap[K], "attributes">> & { attributes?: Record<string, string> } = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const { attributes, ...rest } = properties as { attributes?: Record<string, string> };
  const element = Object.assign(document.createElement(tag), rest);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** A button that does something; `title` says in full what, where the label is short. */
export function button(
  label: string,
  { title, className = "" }: { title?: string; className?: string },
  act: () => void,
): HTMLButtonElement {
  const attributes: Record<string, string> = title === undefined ? {} : { title, "aria-label": title };
  const element = make("button", { type: "button", className, attributes }, label);
  element.addEventListener("click", act);
  return element;
}

/** An element of the page, by its id. */
export function find<K extends keyof HTMLElementTagNameMap>(tag: K, id: string): HTMLElementTagNameMap[K] {
  const element = document.querySelector<HTMLElementTagNameMap[K]>(`${tag}#${id}`);
  if (element === null) {
    throw new Error(`the page has no ${tag}#${id}`);
  }
  return element;
}
