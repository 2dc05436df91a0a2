// One message and its answer, as elements.
import type { Failure, Turn } from "../protocol.ts";
import { button, make } from "./dom.ts";
import { type Means, Prose } from "./prose.ts";

/** Shows a turn, and shows it anew in place as it changes. */
export class TurnView {
  readonly element: HTMLElement;
  readonly #asked = make("div", { className: "asked" });
  readonly #who = make("span", { className: "model" });
  readonly #reasoning: Prose;
  readonly #summary = make("summary");
  readonly #thoughts: HTMLDetailsElement;
  readonly #answer: Prose;
  readonly #after = make("div", { className: "after" });
  readonly #means: Means;
  #shown: Turn | undefined;

  constructor(means: Means) {
    this.#means = means;
    this.#reasoning = new Prose(means);
    this.#answer = new Prose(means);
    this.#thoughts = make("details", { className: "reasoning" }, this.#summary, this.#reasoning.element);
    const you = make("section", { className: "you" }, make("h2", {}, "You"), this.#asked);
    const qwen = make("section", { className: "qwen" });
    qwen.append(make("h2", {}, "Qwen", this.#who), this.#thoughts, this.#answer.element, this.#after);
    this.element = make("article", {}, you, qwen);
  }

  /** What the answer says, as text alone. */
  get text(): string {
    return this.#answer.element.textContent;
  }

  /** Shows the turn as it is now. */
  update(turn: Turn, isLast: boolean): void {
    const before = this.#shown;
    this.#shown = turn;
    const growing = turn.state === "streaming";
    this.element.classList.toggle("growing", growing);
    this.element.setAttribute("aria-busy", String(growing));
    if (before === undefined) {
      this.#ask(turn);
    }
    if (before?.answer !== turn.answer || before.state !== turn.state) {
      this.#answer.update(turn.answer, growing);
    }
    this.#think(turn, before);
    if (growing && before?.state === "streaming") {
      return; // only the text has grown
    }
    this.#who.textContent = turn.model ?? "";
    this.#after.replaceChildren(...outcome(turn, isLast, this.#means));
  }

  #ask(turn: Turn): void {
    this.#asked.replaceChildren(make("p", {}, turn.text));
    if (turn.attached.length > 0) {
      const labels = turn.attached.map((label) => make("li", {}, label));
      this.#asked.append(make("ul", { className: "chips", attributes: { "aria-label": "Attached" } }, ...labels));
    }
  }

  #think(turn: Turn, before: Turn | undefined): void {
    this.#thoughts.hidden = turn.reasoning === "";
    const still = turn.state === "streaming" && turn.answer === "";
    this.#summary.textContent = still ? "Reasoning…" : "Reasoning";
    if (before?.reasoning !== turn.reasoning || before.state !== turn.state) {
      this.#reasoning.update(turn.reasoning, still);
    }
  }
}

/** What stands below an answer: how it ended, what it took, what to do next. */
function outcome(turn: Turn, isLast: boolean, means: Means): HTMLElement[] {
  const parts: HTMLElement[] = [];
  if (turn.state === "stopped") {
    parts.push(make("p", { className: "mark" }, "Stopped"));
  }
  const remark = remarkOn(turn);
  if (remark !== undefined) {
    parts.push(make("p", { className: "mark" }, remark));
  }
  if (turn.failure !== undefined) {
    parts.push(failure(turn, turn.failure, means));
  }
  const facts = factsOf(turn);
  if (facts !== "") {
    parts.push(make("p", { className: "facts" }, facts));
  }
  if (isLast && (turn.state === "failed" || turn.state === "stopped")) {
    parts.push(
      button("Send again", {}, () => {
        means.say({ type: "again", id: turn.id });
      }),
    );
  }
  return parts;
}

function remarkOn({ stopReason, answer }: Turn): string | undefined {
  switch (stopReason) {
    case "max_tokens":
      return "The answer reached the model's longest length";
    case "refusal":
      return "The provider withheld the rest of the answer";
    case "end_turn":
      return answer.trim() === "" ? "The provider ended the answer without a word" : undefined;
    default:
      return undefined;
  }
}

function failure({ id }: Turn, { message, actions }: Failure, { say }: Means): HTMLElement {
  const buttons = actions.map(({ title }, index) =>
    button(title, {}, () => {
      say({ type: "act", id, index });
    }),
  );
  const row = make("div", { className: "row" }, ...buttons);
  return make("div", { className: "failure", attributes: { role: "alert" } }, make("p", {}, message), row);
}

function factsOf({ model, requestedModel, usage }: Turn): string {
  const facts: string[] = [];
  if (model !== undefined && requestedModel !== undefined && model !== requestedModel) {
    facts.push(`${model} answered in place of ${requestedModel}`);
  }
  if (usage !== undefined) {
    facts.push(`${usage.promptTokens} tokens in, ${usage.completionTokens} out`);
  }
  return facts.join(" · ");
}
