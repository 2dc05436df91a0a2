// The chat of a window: what is sent, what is kept, how answers end.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { CancellationTokenSource } from "vscode";
import type { ChatDelta, ChatSendParams } from "../../src/contract.gen.ts";
import type { Answer } from "../../src/core.ts";
import { Failure } from "../../src/failure.ts";
import { Chat } from "../../src/view/chat.ts";
import type { Kept } from "../../src/view/keep.ts";
import type { ToView, Turn } from "../../src/view/protocol.ts";
import { after, EMPTY } from "../../src/view/state.ts";

/** A server that answers when it is told to, and a view that keeps its own state by the messages it is sent. */
class Stage {
  readonly sent: ChatSendParams[] = [];
  readonly chat: Chat;
  view = EMPTY;
  now = 5000;
  kept: Kept | undefined;
  #pending: PromiseWithResolvers<Answer> = Promise.withResolvers();
  #onDelta: (delta: ChatDelta) => void = () => undefined;
  #seq = 0;
  #ids = 0;

  constructor(kept?: unknown) {
    this.chat = new Chat(
      {
        send: (params, onDelta) => {
          this.sent.push(params);
          this.#onDelta = onDelta;
          this.#pending = Promise.withResolvers();
          return this.#pending.promise;
        },
        stopper: () => this.#stopper(),
        show: (message: ToView) => {
          this.view = after(this.view, message);
        },
        keep: (value) => {
          this.kept = value;
        },
        now: () => this.now,
        id: () => String(++this.#ids),
      },
      kept,
    );
    this.view = this.chat.state;
  }

  say(text: string, kind: ChatDelta["kind"] = "delta"): void {
    this.#onDelta({ kind, turnId: "t", seq: this.#seq++, text });
  }

  end(answer: Partial<Answer> = {}): void {
    this.#pending.resolve({ conversationId: "c", turnId: "t", stopReason: "end_turn", ...answer });
  }

  fail(error: unknown): void {
    this.#pending.reject(error);
  }

  /** One whole exchange. */
  async exchange(text: string, answer: string): Promise<void> {
    const done = this.chat.send(text, "file:///w");
    this.say(answer);
    this.end();
    await done;
  }

  get last(): Turn | undefined {
    return this.view.turns.at(-1);
  }

  #stopper(): CancellationTokenSource {
    const token = { isCancellationRequested: false };
    const cancel = (): void => {
      token.isCancellationRequested = true;
      const end = { kind: "end" as const, turnId: "t", seq: 9, model: "served" };
      this.end({ stopReason: "cancelled", end });
    };
    return { token, cancel, dispose: () => undefined } as unknown as CancellationTokenSource;
  }
}

const roles = ({ messages = [] }: ChatSendParams): [string, string][] => messages.map((m) => [m.role, m.content]);
const selection = { uri: "file:///w/a.py", startLine: 0, endLine: 1, text: "x = 1", languageId: "python" };
const selected = { chip: { kind: "selection" as const, label: "a.py", title: "a.py" }, context: { selection } };
const file = (name: string): Parameters<Chat["attach"]>[0] => ({
  chip: { kind: "file", label: name, title: name },
  context: { files: [`file:///w/${name}`] },
});

test("an answer grows in the view and ends with its model and usage", async () => {
  const stage = new Stage();
  const done = stage.chat.send("hello", "file:///w");
  stage.say("hm", "reasoning");
  stage.say("Hi ");
  stage.say("you");
  assert.deepEqual([stage.last?.state, stage.last?.answer, stage.last?.reasoning], ["streaming", "Hi you", "hm"]);
  const usage = { promptTokens: 3, completionTokens: 2, totalTokens: 5 };
  stage.end({ model: "served", requestedModel: "asked", usage });
  await done;
  assert.equal(stage.last?.state, "done");
  assert.deepEqual([stage.last.model, stage.last.requestedModel, stage.last.usage], ["served", "asked", usage]);
  assert.deepEqual(stage.view, stage.chat.state);
});

test("the whole conversation goes with each message", async () => {
  const stage = new Stage();
  await stage.exchange("one", "1");
  await stage.exchange("two", "2");
  assert.deepEqual(roles(stage.sent[1] ?? {}), [["user", "one"], ["assistant", "1"], ["user", "two"]]);
  assert.equal(stage.sent[1]?.uri, "file:///w");
});

test("what is attached goes with one message, and the next tells of it where it was said", async () => {
  const stage = new Stage();
  stage.chat.attach(selected);
  stage.chat.attach(file("b.py"));
  assert.deepEqual(stage.view.chips.map(({ label }) => label), ["a.py", "b.py"]);
  await stage.exchange("one", "1");
  assert.deepEqual(stage.sent[0]?.context, { selection, files: ["file:///w/b.py"] });
  assert.deepEqual([stage.view.chips, stage.last?.attached], [[], ["a.py", "b.py"]]);
  await stage.exchange("two", "2");
  assert.equal(stage.sent[1]?.context, undefined);
  const expected = /^@file:"b\.py"\n\none\n\nSelection in a\.py, line 1:\n```python\nx = 1/;
  assert.match(stage.sent[1]?.messages?.[0]?.content ?? "", expected);
});

test("a second selection takes the place of the first, a file is attached once, and both can be taken back", async () => {
  const stage = new Stage();
  stage.chat.attach(selected);
  stage.chat.attach({ ...selected, context: { selection: { ...selection, text: "y" } } });
  stage.chat.attach(file("b.py"));
  stage.chat.attach(file("b.py"));
  stage.chat.attach(file("c.py"));
  assert.equal(stage.view.chips.length, 3);
  stage.chat.detach(stage.view.chips[2]?.id ?? "");
  await stage.exchange("q", "a");
  assert.deepEqual(stage.sent[0]?.context, { selection: { ...selection, text: "y" }, files: ["file:///w/b.py"] });
});

test("a second message waits for the end of the answer under way, and an empty one is none", async () => {
  const stage = new Stage();
  await stage.chat.send("  ", undefined);
  const done = stage.chat.send("one", undefined);
  const second = stage.chat.send("two", undefined);
  assert.equal(stage.sent.length, 1);
  stage.end();
  await Promise.all([done, second]);
});

test("Stop keeps what came, and it stays part of the conversation", async () => {
  const stage = new Stage();
  const done = stage.chat.send("one", undefined);
  stage.say("half");
  stage.chat.stop();
  await done;
  stage.say("late");
  assert.deepEqual([stage.last?.state, stage.last?.answer, stage.last?.model], ["stopped", "half", "served"]);
  await stage.exchange("two", "2");
  assert.deepEqual(roles(stage.sent[1] ?? {}).slice(0, 2), [["user", "one"], ["assistant", "half"]]);
});

test("a failure shows the server's line and its next steps", async () => {
  const stage = new Stage();
  const done = stage.chat.send("one", undefined);
  const actions = [{ title: "Sign in with Qwen", command: "qwen.auth.login", argument: { method: "qwen-oauth" } }];
  stage.fail(new Failure("No credential. Sign in", { kind: "signed-out", remedy: "Sign in", actions }));
  await done;
  assert.equal(stage.last?.state, "failed");
  assert.equal(stage.last.failure?.message, "No credential. Sign in");
  assert.deepEqual(stage.chat.action(stage.last.id, 0), actions[0]);
  assert.equal(stage.chat.action(stage.last.id, 1), undefined);
  assert.equal(stage.chat.action("9", 0), undefined);
});

test("a message that nothing came of is no part of the conversation", async () => {
  const stage = new Stage();
  const done = stage.chat.send("lost", undefined);
  stage.fail(new Failure("no", { kind: "network", remedy: "" }));
  await done;
  await stage.exchange("two", "2");
  assert.deepEqual(roles(stage.sent[1] ?? {}), [["user", "two"]]);
});

test("a message is sent again in place of what came of it, with what was attached", async () => {
  const stage = new Stage();
  stage.chat.attach(file("b.py"));
  const done = stage.chat.send("one", undefined);
  stage.say("half");
  stage.fail(new Failure("no", { kind: "network", remedy: "" }));
  await done;
  const again = stage.chat.again(stage.last?.id ?? "", undefined);
  stage.say("whole");
  stage.end();
  await again;
  assert.deepEqual(stage.view.turns.map(({ answer, attached }) => [answer, attached]), [["whole", ["b.py"]]]);
  assert.deepEqual([roles(stage.sent[1] ?? {}), stage.sent[1]?.context], [[["user", "one"]], stage.sent[0]?.context]);
});

test("a server that goes away in mid-answer loses nothing, and the next message works", async () => {
  const stage = new Stage();
  await stage.exchange("one", "1");
  const done = stage.chat.send("two", undefined);
  stage.say("ha");
  stage.fail(new Failure("The server ended", { kind: "server-gone", remedy: "", retryable: true }));
  await done;
  assert.equal(stage.last?.state, "failed");
  assert.equal(stage.last.answer, "ha");
  assert.match(stage.last.failure?.message ?? "", /stopped in mid-answer/);
  await stage.exchange("three", "3");
  const expected = [["user", "one"], ["assistant", "1"], ["user", "two"], ["assistant", "ha"], ["user", "three"]];
  assert.deepEqual(roles(stage.sent[2] ?? {}), expected);
});

test("a new chat stops the answer and forgets everything; /clear is the same", async () => {
  for (const clear of [(chat: Chat) => { chat.clear(); }, (chat: Chat) => void chat.send(" /clear ", undefined)]) {
    const stage = new Stage();
    await stage.exchange("one", "1");
    clear(stage.chat);
    assert.deepEqual([stage.view.turns, stage.kept], [[], { turns: [], contexts: {} }]);
    await stage.exchange("two", "2");
    assert.deepEqual(roles(stage.sent.at(-1) ?? {}), [["user", "two"]]);
  }
  const stage = new Stage();
  const done = stage.chat.send("one", undefined);
  stage.chat.clear();
  await done;
  assert.deepEqual(stage.view.turns, []);
});

test("the history is there again after a reload, an answer under way as stopped", async () => {
  const stage = new Stage();
  stage.chat.attach(file("b.py"));
  await stage.exchange("one", "1");
  void stage.chat.send("two", undefined);
  stage.now += 1000;
  stage.say("2");
  const next = new Stage(JSON.parse(JSON.stringify(stage.kept)));
  assert.deepEqual(next.view.turns.map(({ text, state }) => [text, state]), [["one", "done"], ["two", "stopped"]]);
  await next.exchange("three", "3");
  const one = '@file:"b.py"\n\none';
  assert.deepEqual(roles(next.sent[0] ?? {}), [["user", one], ["assistant", "1"], ["user", "two"], ["assistant", "2"], ["user", "three"]]);
  assert.equal(next.sent[0]?.context, undefined);
});

test("a growing answer is kept once a second", () => {
  const stage = new Stage();
  void stage.chat.send("one", undefined);
  stage.say("a");
  assert.deepEqual(stage.kept?.turns, []);
  stage.now += 1000;
  stage.say("b");
  stage.say("c");
  assert.deepEqual(stage.kept.turns.map(({ answer }) => answer), ["ab"]);
});
