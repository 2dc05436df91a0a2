// A window of jsdom with the chat view's page in it, as the globals that its script expects.
import { JSDOM } from "jsdom";
import { page } from "../../../src/view/page.ts";

const html = page({ script: "view.js", style: "view.css", own: "'self'", nonce: "x" });
const dom = new JSDOM(html, { pretendToBeVisual: true });
for (const name of ["document", "Node", "Element", "HTMLElement"] as const) {
  Object.defineProperty(globalThis, name, { value: dom.window[name], configurable: true });
}

/** The window; nothing in it loads or runs anything. */
export const { window } = dom;

/** Presses a key in an element; whether its own effect was kept from happening. */
export function press(target: Element, key: string, more: { shiftKey?: boolean } = {}): boolean {
  const event = new window.KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more });
  return !target.dispatchEvent(event);
}
