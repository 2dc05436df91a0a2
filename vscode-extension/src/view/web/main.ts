// The chat view's script: what the extension says is put into the state, and the state is shown, at most once
// a frame and only where it has changed.
import "./chat.css";
import { type FromView, parseToView } from "../protocol.ts";
import { after, EMPTY, streaming } from "../state.ts";
import { Composer } from "./composer.ts";
import { find } from "./dom.ts";
import { Log } from "./log.ts";
import { sanitizer } from "./sanitize.ts";

/** What VS Code gives a webview. */
interface Host {
  postMessage(message: unknown): void;
  getState(): unknown;
  setState(state: unknown): void;
}
declare function acquireVsCodeApi(): Host;

const host = acquireVsCodeApi();
const announcer = find("p", "announcer");
const announce = (text: string): void => {
  announcer.textContent = text;
};
const say = (message: FromView): void => {
  host.postMessage(message);
  if (message.type === "copy") {
    announce("Copied");
  }
};
const log = new Log({ sanitize: sanitizer(window), say }, announce);
const kept = host.getState();
const draft = typeof kept === "object" && kept !== null && "draft" in kept ? kept.draft : "";
const composer = new Composer(
  say,
  (text) => {
    host.setState({ draft: text });
  },
  typeof draft === "string" ? draft : "",
);

let state = EMPTY;
let asked = 0; // the frame that will show it

function show(): void {
  asked = 0;
  log.update(state);
  composer.update(state);
}

window.addEventListener("message", (event) => {
  const message = parseToView(event.data);
  if (message === undefined) {
    return;
  }
  if (message.type === "focus") {
    composer.focus();
    return;
  }
  state = after(state, message);
  asked ||= requestAnimationFrame(show);
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !event.isComposing && streaming(state) !== undefined) {
    event.preventDefault();
    say({ type: "stop" });
  }
});

say({ type: "ready" });
