// The conversation, kept in step with the state: per change only the turns that have changed.
import type { State, Turn } from "../protocol.ts";
import { button, find, make } from "./dom.ts";
import type { Means } from "./prose.ts";
import { TurnView } from "./turn.ts";

const NEAR = 32; // pixels from the end within which new text is followed
const LONGEST_SAID = 2000; // characters of an answer that are read out by themselves

/** Shows the turns; `announce` says something to a screen reader. */
export class Log {
  readonly #element = find("main", "log");
  readonly #means: Means;
  readonly #announce: (text: string) => void;
  #views = new Map<string, TurnView>();
  #shown: State | undefined;

  constructor(means: Means, announce: (text: string) => void) {
    this.#means = means;
    this.#announce = announce;
  }

  /** Shows the state's turns. */
  update(state: State): void {
    const { scrollHeight, scrollTop, clientHeight } = this.#element;
    const follows = scrollHeight - scrollTop - clientHeight < NEAR;
    const before = this.#shown;
    this.#shown = state;
    this.#dropGone(state.turns);
    state.turns.forEach((turn, index) => {
      const isLast = index === state.turns.length - 1;
      const old = before?.turns[index];
      const wasLast = before !== undefined && index === before.turns.length - 1;
      if (old !== turn || isLast !== wasLast) {
        this.#show(turn, isLast);
      }
      if (old?.id === turn.id && old.state === "streaming" && turn.state !== "streaming") {
        this.#tell(turn);
      }
    });
    this.#welcome(state);
    const isNew = state.turns.length > (before?.turns.length ?? 0);
    if (follows || isNew) {
      this.#element.scrollTop = this.#element.scrollHeight;
    }
  }

  #dropGone(turns: readonly Turn[]): void {
    const ids = new Set(turns.map((turn) => turn.id));
    for (const [id, view] of this.#views) {
      if (!ids.has(id)) {
        view.element.remove();
        this.#views.delete(id);
      }
    }
  }

  #show(turn: Turn, isLast: boolean): void {
    let view = this.#views.get(turn.id);
    if (view === undefined) {
      view = new TurnView(this.#means);
      this.#views.set(turn.id, view);
      this.#element.append(view.element);
      if (turn.state === "streaming") {
        this.#announce("Qwen is answering");
      }
    }
    view.update(turn, isLast);
  }

  #tell(turn: Turn): void {
    const text = this.#views.get(turn.id)?.text ?? "";
    const said = text.length > LONGEST_SAID ? `${text.slice(0, LONGEST_SAID)}…` : text;
    if (turn.state !== "failed") {
      this.#announce(turn.state === "stopped" ? `Stopped. ${said}` : said); // a failure is an alert by itself
    }
  }

  #welcome({ turns, standing }: State): void {
    this.#element.querySelector(".welcome")?.remove();
    if (turns.length > 0) {
      return;
    }
    const box = make("div", { className: "welcome" }, make("h2", {}, "Ask about your code"));
    box.append(
      make(
        "p",
        {},
        "Answers stream in here. Attach a selection, files or problems below, or name them: ",
        make("code", {}, "@file:path"),
        ", ",
        make("code", {}, "@selection"),
        ". ",
        make("code", {}, "/help"),
        " lists the commands.",
      ),
    );
    if (standing.server === "running" && !standing.signedIn) {
      box.append(
        make("p", {}, standing.message),
        button("Sign In…", { className: "primary" }, () => {
          this.#means.say({ type: "run", what: "signIn" });
        }),
      );
    }
    this.#element.append(box);
  }
}
