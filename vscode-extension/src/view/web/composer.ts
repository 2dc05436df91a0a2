// The message that is being written: its text, what goes along, Send and Stop, and who will sign it.
import type { FromView, Standing, State } from "../protocol.ts";
import { streaming } from "../state.ts";
import { button, find, make } from "./dom.ts";

const METHODS: Record<string, string> = { "qwen-oauth": "Qwen account", "api-key": "API key" };

/** The input below the conversation. `keep` keeps the draft while the view is hidden. */
export class Composer {
  readonly #draft = find("textarea", "draft");
  readonly #chips = find("ul", "chips");
  readonly #send = find("button", "send");
  readonly #stop = find("button", "stop");
  readonly #standing = find("div", "standing");
  readonly #say: (message: FromView) => void;
  readonly #keep: (draft: string) => void;
  #shown: State | undefined;

  constructor(say: (message: FromView) => void, keep: (draft: string) => void, draft: string) {
    this.#say = say;
    this.#keep = keep;
    this.#draft.value = draft;
    this.#draft.addEventListener("input", () => {
      this.#written();
    });
    this.#draft.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        this.#submit();
      }
    });
    this.#send.addEventListener("click", () => {
      this.#submit();
    });
    this.#stop.addEventListener("click", () => {
      say({ type: "stop" });
    });
    for (const kind of ["selection", "file", "problems"] as const) {
      find("button", `attach-${kind}`).addEventListener("click", () => {
        say({ type: "attach", kind });
      });
    }
    this.#written();
  }

  /** Puts the cursor into the input. */
  focus(): void {
    this.#draft.focus();
  }

  /** Shows the state's chips, standing and whether an answer is under way. */
  update(state: State): void {
    const before = this.#shown;
    this.#shown = state;
    if (before?.chips !== state.chips) {
      this.#showChips(state);
    }
    if (before?.standing !== state.standing) {
      this.#standing.replaceChildren(...standing(state.standing, this.#say));
    }
    const busy = streaming(state) !== undefined;
    if (this.#stop.hidden === busy) {
      const held = document.activeElement === (busy ? this.#send : this.#stop);
      this.#stop.hidden = !busy;
      this.#send.hidden = busy;
      if (held) {
        (busy ? this.#stop : this.#draft).focus(); // the button that had the focus is gone
      }
    }
  }

  #written(): void {
    this.#send.disabled = this.#draft.value.trim() === "";
    this.#keep(this.#draft.value);
  }

  #submit(): void {
    const text = this.#draft.value;
    if (text.trim() === "" || this.#shown === undefined || streaming(this.#shown) !== undefined) {
      return;
    }
    this.#draft.value = "";
    this.#written();
    this.#draft.focus();
    this.#say({ type: "send", text });
  }

  #showChips({ chips }: State): void {
    const held = this.#chips.contains(document.activeElement);
    this.#chips.hidden = chips.length === 0;
    this.#chips.replaceChildren(
      ...chips.map(({ id, label, title }) => {
        const remove = button("×", { title: `Do not attach ${label}`, className: "quiet" }, () => {
          this.#say({ type: "detach", id });
        });
        return make("li", { title }, label, remove);
      }),
    );
    if (held) {
      this.#draft.focus();
    }
  }
}

function standing(now: Standing, say: (message: FromView) => void): HTMLElement[] {
  if (now.server !== "running") {
    return [make("span", { attributes: { role: "status" } }, now.message)];
  }
  const runs = (label: string, what: (FromView & { type: "run" })["what"], title: string): HTMLButtonElement =>
    button(label, { title: `${title} (${label})`, className: "quiet" }, () => {
      say({ type: "run", what });
    });
  const method = now.method === undefined ? "Signed in" : (METHODS[now.method] ?? now.method);
  const parts: HTMLElement[] = now.signedIn
    ? [
        runs(now.model ?? "Default model", "chooseModel", "Choose the model"),
        runs(method, "switchAuthentication", "Switch authentication"),
      ]
    : [runs("Signed out", "signIn", "Sign in")];
  if (now.folder !== undefined) {
    parts.push(make("span", { title: "The folder whose credential signs" }, now.folder));
  }
  return parts;
}
