// The chat of this window: its history, the answer under way, and what goes along with the next message.
//
// It lives in the extension, not in the webview: a hidden view loses nothing, and the server keeps nothing
// that the next message needs, so that a crash of it loses nothing either.
import type { CancellationToken, CancellationTokenSource } from "vscode";
import type { ChatDelta, ChatMessage, ChatSendParams } from "../contract.gen.ts";
import type { Answer } from "../core.ts";
import { failureOf } from "../failure.ts";
import { type ChatContext, isEmpty, merged, retold } from "./context.ts";
import { keep, type Kept, restore } from "./keep.ts";
import type { Action, Chip, Failure, State, ToView, Turn } from "./protocol.ts";
import { after, EMPTY, streaming } from "./state.ts";

const KEEP_MS = 1000; // between two times that a growing answer is kept: a window that goes away loses no more
const GONE = "The Qwen server stopped in mid-answer and is started again. What came is kept.";

/** What the chat needs of the world around it. */
export interface Around {
  /** Sends a conversation; see Server.chat. */
  send(
    params: ChatSendParams,
    onDelta: (delta: ChatDelta) => void,
    token: CancellationToken,
  ): Promise<Answer>;
  /** What tells an answer to stop. */
  stopper(): CancellationTokenSource;
  /** Shows a change; a view that is not there is given the whole state once it is. */
  show(message: ToView): void;
  /** Keeps the history for the next start of this window. */
  keep(kept: Kept): void;
  /** Milliseconds of a clock. */
  now(): number;
  /** A new id. */
  id(): string;
}

/** A chip, and what it stands for. */
export interface Attachment {
  chip: Omit<Chip, "id">;
  context: ChatContext;
}

/** The chat. Every change goes through `apply`, and so to the view. */
export class Chat {
  #state: State = EMPTY;
  #attached = new Map<string, ChatContext>();
  #contexts = new Map<string, ChatContext>();
  #stop: CancellationTokenSource | undefined;
  #keptAt = 0;
  readonly #around: Around;

  /** `kept` is what an earlier run of this window has kept, in whatever state. */
  constructor(around: Around, kept: unknown) {
    this.#around = around;
    const { turns, contexts } = restore(kept);
    this.#state = { ...EMPTY, turns };
    this.#contexts = new Map(Object.entries(contexts));
  }

  /** What a view shows. */
  get state(): State {
    return this.#state;
  }

  /** Changes the state, here and in the view. */
  apply(message: ToView): void {
    this.#state = after(this.#state, message);
    this.#around.show(message);
  }

  /** Puts something beside the next message; a selection takes the place of another one. */
  attach(attachment: Attachment): void {
    const { kind, title } = attachment.chip;
    const others = this.#state.chips.filter((chip) => {
      const isSame = chip.kind === kind && (kind === "selection" || chip.title === title);
      if (isSame) {
        this.#attached.delete(chip.id);
      }
      return !isSame;
    });
    const id = this.#around.id();
    this.#attached.set(id, attachment.context);
    this.apply({ type: "chips", chips: [...others, { id, ...attachment.chip }] });
  }

  /** Takes something back. */
  detach(id: string): void {
    this.#attached.delete(id);
    this.apply({ type: "chips", chips: this.#state.chips.filter((chip) => chip.id !== id) });
  }

  /** Sends a message with what is attached; the promise ends with the answer and never fails. */
  async send(text: string, uri: string | undefined): Promise<void> {
    if (text.trim() === "" || streaming(this.#state) !== undefined) {
      return;
    }
    if (text.trim().toLowerCase() === "/clear") {
      this.clear();
      return;
    }
    const attached = this.#state.chips.map((chip) => chip.label);
    const context = [...this.#attached.values()].reduce(merged, {});
    this.#attached.clear();
    this.apply({ type: "chips", chips: [] });
    await this.#ask(text, attached, context, uri);
  }

  /** Sends the last message again, in place of what came of it. */
  async again(id: string, uri: string | undefined): Promise<void> {
    const turn = this.#state.turns.at(-1);
    if (turn?.id !== id || turn.state === "streaming") {
      return;
    }
    const context = this.#contexts.get(id) ?? {};
    this.#contexts.delete(id);
    this.apply({ type: "removed", id });
    await this.#ask(turn.text, turn.attached, context, uri);
  }

  /** Stops the answer under way; what came of it is kept. */
  stop(): void {
    this.#stop?.cancel();
  }

  /** Begins a new conversation; the old one is gone. */
  clear(): void {
    this.stop();
    this.#contexts.clear();
    this.#attached.clear();
    this.apply({ type: "state", state: { ...this.#state, turns: [], chips: [] } });
    this.#keep();
  }

  /** The next step that a button of a failed turn stands for. */
  action(id: string, index: number): Action | undefined {
    return this.#state.turns.find((turn) => turn.id === id)?.failure?.actions[index];
  }

  async #ask(text: string, attached: string[], context: ChatContext, uri: string | undefined): Promise<void> {
    const params = this.#params(text, context, uri);
    const id = this.#around.id();
    const turn: Turn = { id, text, attached, answer: "", reasoning: "", state: "streaming" };
    if (!isEmpty(context)) {
      this.#contexts.set(id, context);
    }
    this.apply({ type: "turn", turn });
    this.#keep();
    const stop = (this.#stop = this.#around.stopper());
    try {
      const answer = await this.#around.send(params, (delta) => { this.#grow(id, delta); }, stop.token);
      this.#end(id, ended(answer));
    } catch (error) {
      this.#end(id, stop.token.isCancellationRequested ? { state: "stopped" } : failed(error));
    } finally {
      stop.dispose();
      if (this.#stop === stop) {
        this.#stop = undefined;
      }
      this.#keep();
    }
  }

  #grow(id: string, delta: ChatDelta): void {
    this.apply({ type: "delta", id, kind: delta.kind === "delta" ? "answer" : "reasoning", text: delta.text });
    if (this.#around.now() - this.#keptAt >= KEEP_MS) {
      this.#keep();
    }
  }

  #end(id: string, end: Partial<Turn>): void {
    const turn = this.#state.turns.find((one) => one.id === id);
    if (turn === undefined) {
      return; // it was cleared away meanwhile
    }
    const { failure } = end;
    const isHalf = failure?.kind === "server-gone" && turn.answer !== "";
    this.apply({ type: "turn", turn: { ...turn, ...end, ...(isHalf && { failure: { ...failure, message: GONE } }) } });
  }

  /**
   * The whole conversation: turns that nothing came of are left out. What is attached goes along with this message;
   * the server insists on it, so that nothing of an earlier turn may be there.
   */
  #params(text: string, context: ChatContext, uri: string | undefined): ChatSendParams {
    const messages: ChatMessage[] = [];
    for (const turn of this.#state.turns.filter((one) => one.answer !== "")) {
      const earlier = this.#contexts.get(turn.id) ?? {};
      messages.push({ role: "user", content: retold(turn.text, earlier, uri) });
      messages.push({ role: "assistant", content: turn.answer });
    }
    messages.push({ role: "user", content: text });
    return {
      messages,
      ...(uri === undefined ? {} : { uri }),
      ...(isEmpty(context) ? {} : { context }),
    };
  }

  #keep(): void {
    this.#keptAt = this.#around.now();
    this.#around.keep(keep(this.#state.turns, this.#contexts));
  }
}

function failed(error: unknown): Partial<Turn> {
  const { message, data } = failureOf(error);
  const actions = (data.actions ?? []).map(({ title, command, argument }) => ({
    title,
    command,
    argument: argument ?? {},
  }));
  const failure: Failure = { kind: data.kind, message, retryable: data.retryable ?? false, actions };
  return data.kind === "cancelled" ? { state: "stopped" } : { state: "failed", failure };
}

function ended(answer: Answer): Partial<Turn> {
  const { stopReason, model, requestedModel, usage } = { ...answer.end, ...answer }; // a stopped one tells at its end
  return {
    state: stopReason === "cancelled" ? "stopped" : "done",
    ...(stopReason === undefined ? {} : { stopReason }),
    ...(model === undefined ? {} : { model }),
    ...(requestedModel === undefined ? {} : { requestedModel }),
    ...(usage === undefined ? {} : { usage }),
  };
}
