// The parts of the page: a growing answer, a turn, the conversation, the input.
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { type FromView, type State, type Turn } from "../../../src/view/protocol.ts";
import { EMPTY } from "../../../src/view/state.ts";
import { Composer } from "../../../src/view/web/composer.ts";
import { Log } from "../../../src/view/web/log.ts";
import { type Means, Prose } from "../../../src/view/web/prose.ts";
import { sanitizer } from "../../../src/view/web/sanitize.ts";
import { press, window } from "./window.ts";

const said: FromView[] = [];
const announced: string[] = [];
const means: Means = { sanitize: sanitizer(window), say: (message) => said.push(message) };
const pristine = window.document.body.innerHTML;

beforeEach(() => {
  window.document.body.innerHTML = pristine;
  said.length = 0;
  announced.length = 0;
});

const turn = (id: string, more: Partial<Turn> = {}): Turn => ({
  ...{ id, text: "question", attached: [], answer: "", reasoning: "", state: "streaming" as const },
  ...more,
});
const running: State = {
  ...EMPTY,
  standing: { server: "running", message: "", signedIn: true, method: "api-key", model: "qwen3", folder: "back" },
};
const logOf = (): Log => new Log(means, (text) => announced.push(text));
const find = (selector: string): Element => {
  const element = window.document.querySelector(selector);
  assert.ok(element, `the page has ${selector}`);
  return element;
};
const click = (label: string): void => {
  const buttons = [...window.document.querySelectorAll("button")];
  const button = buttons.find((one) => (one.getAttribute("aria-label") ?? one.textContent) === label);
  assert.ok(button, `the page has a button ${label}`);
  button.click();
};

test("a growing answer keeps the nodes of the blocks that do not change", () => {
  const prose = new Prose(means);
  prose.update("# a\n\nb\n\nc", true);
  const [first, second, third] = [...prose.element.children];
  prose.update("# a\n\nb\n\nc d\n\n- e", true);
  const now = [...prose.element.children];
  assert.deepEqual([now[0] === first, now[1] === second, now[2] === third], [true, true, false]);
  assert.deepEqual(now.map((element) => element.textContent.trim()), ["a", "b", "c d", "e"]);
  prose.update("x", false);
  assert.equal(prose.element.innerHTML.trim(), "<p>x</p>");
});

test("a code block has its language, and buttons that say its exact text", () => {
  const prose = new Prose(means);
  prose.update("```python\ndef f():\n    return '<b>'\n```\n\n    plain\n", false);
  window.document.body.append(prose.element);
  assert.equal(find(".code .language").textContent, "python");
  click("Copy this python code");
  click("Insert this python code at the cursor");
  click("Copy this code");
  const text = "def f():\n    return '<b>'\n";
  assert.deepEqual(said, [
    { type: "copy", text },
    { type: "insert", text },
    { type: "copy", text: "plain\n" },
  ]);
});

test("a delta touches its own turn alone", () => {
  const log = logOf();
  const first = turn("1", { answer: "one", state: "done" });
  log.update({ ...running, turns: [first, turn("2", { answer: "tw" })] });
  const before = find("article:first-child").innerHTML;
  const observer = new window.MutationObserver(() => undefined);
  observer.observe(find("article:first-child"), { subtree: true, childList: true, attributes: true, characterData: true });
  log.update({ ...running, turns: [first, turn("2", { answer: "two" })] });
  assert.deepEqual(observer.takeRecords(), []);
  assert.equal(find("article:first-child").innerHTML, before);
  assert.match(find("article:last-child").textContent, /two/);
});

test("reasoning stands apart, folded up", () => {
  const log = logOf();
  log.update({ ...running, turns: [turn("1", { reasoning: "hm" })] });
  const details = find("details.reasoning");
  assert.ok(!details.hasAttribute("open"));
  assert.equal(find("details summary").textContent, "Reasoning…");
  log.update({ ...running, turns: [turn("1", { reasoning: "hm", answer: "a", state: "done" })] });
  assert.equal(find("details summary").textContent, "Reasoning");
  assert.equal(find("details .prose").textContent.trim(), "hm");
});

test("what a screen reader hears: that it began, then the answer once, whole", () => {
  const log = logOf();
  log.update({ ...running, turns: [turn("1")] });
  log.update({ ...running, turns: [turn("1", { answer: "a **b" })] });
  log.update({ ...running, turns: [turn("1", { answer: "a **b**", state: "done" })] });
  assert.deepEqual(announced.map((text) => text.trim()), ["Qwen is answering", "a b"]);
});

test("a failure is an alert with its next steps; the last turn can be sent again", () => {
  const log = logOf();
  const actions = [{ title: "Sign in with Qwen", command: "qwen.auth.login", argument: {} }];
  const failure = { kind: "signed-out", message: "No credential. Sign in", retryable: true, actions };
  log.update({ ...running, turns: [turn("1", { state: "failed", failure })] });
  assert.equal(find("[role=alert] p").textContent, "No credential. Sign in");
  click("Sign in with Qwen");
  click("Send again");
  assert.deepEqual(said, [{ type: "act", id: "1", index: 0 }, { type: "again", id: "1" }]);
  log.update({ ...running, turns: [turn("1", { state: "failed", failure }), turn("2")] });
  assert.doesNotMatch(find("article:first-child").textContent, /Send again/);
});

test("the model that served is named, and told of where it is another one", () => {
  const usage = { promptTokens: 3, completionTokens: 2, totalTokens: 5 };
  const log = logOf();
  log.update({ ...running, turns: [turn("1", { state: "done", model: "b", requestedModel: "a", usage })] });
  assert.equal(find(".model").textContent, "b");
  assert.equal(find(".facts").textContent, "b answered in place of a · 3 tokens in, 2 out");
});

test("an answer that ends oddly says so", () => {
  const log = logOf();
  const marks = (more: Partial<Turn>): (string | null)[] => {
    log.update({ ...running, turns: [turn("1", { state: "done", ...more })] });
    return [...window.document.querySelectorAll(".mark")].map((mark) => mark.textContent);
  };
  assert.deepEqual(marks({ answer: "a", stopReason: "refusal" }), ["The provider withheld the rest of the answer"]);
  assert.deepEqual(marks({ answer: "a", stopReason: "max_tokens" }), ["The answer reached the model's longest length"]);
  assert.deepEqual(marks({ answer: "\n", stopReason: "end_turn" }), ["The provider ended the answer without a word"]);
  assert.deepEqual(marks({ answer: "a", stopReason: "end_turn" }), []);
});

test("a turn that is gone is gone, and the empty conversation says what to do", () => {
  const log = logOf();
  log.update({ ...running, turns: [turn("1", { state: "done" })] });
  log.update({ ...running, standing: { ...running.standing, signedIn: false, message: "Signed out" } });
  assert.equal(window.document.querySelector("article"), null);
  click("Sign In…");
  assert.deepEqual(said, [{ type: "run", what: "signIn" }]);
});

test("Enter sends, Shift+Enter does not, and nothing is sent while an answer is under way", () => {
  const drafts: string[] = [];
  const composer = new Composer(means.say, (draft) => drafts.push(draft), "kept draft");
  const draft = find("textarea") as HTMLTextAreaElement;
  composer.update(running);
  assert.ok(!press(draft, "Enter", { shiftKey: true }));
  assert.ok(press(draft, "Enter"));
  assert.ok(press(draft, "Enter"));
  assert.deepEqual([said, draft.value, drafts.at(-1)], [[{ type: "send", text: "kept draft" }], "", ""]);
  composer.update({ ...running, turns: [turn("1")] });
  draft.value = "more";
  press(draft, "Enter");
  assert.deepEqual([said.length, draft.value], [1, "more"]);
});

test("Send gives way to Stop, and the focus goes along", () => {
  const composer = new Composer(means.say, () => undefined, "x");
  composer.update(running);
  const [send, stop] = [find("#send") as HTMLButtonElement, find("#stop") as HTMLButtonElement];
  assert.deepEqual([send.hidden, stop.hidden], [false, true]);
  send.focus();
  composer.update({ ...running, turns: [turn("1")] });
  assert.deepEqual([send.hidden, stop.hidden, window.document.activeElement], [true, false, stop]);
  stop.click();
  assert.deepEqual(said, [{ type: "stop" }]);
  composer.update({ ...running, turns: [turn("1", { state: "stopped" })] });
  assert.equal(window.document.activeElement, find("textarea"));
});

test("chips are shown and can be taken back; the rest of the row attaches more", () => {
  const composer = new Composer(means.say, () => undefined, "");
  composer.update({ ...running, chips: [{ id: "7", kind: "file", label: "a.py", title: "src/a.py" }] });
  click("Do not attach a.py");
  for (const kind of ["selection", "file", "problems"]) {
    (find(`#attach-${kind}`) as HTMLButtonElement).click();
  }
  const attached = ["selection", "file", "problems"].map((kind) => ({ type: "attach", kind }));
  assert.deepEqual(said, [{ type: "detach", id: "7" }, ...attached]);
});

test("model, method and folder are shown, and a click changes them", () => {
  const composer = new Composer(means.say, () => undefined, "");
  composer.update(running);
  assert.equal(find("#standing").textContent, "qwen3API keyback");
  click("Choose the model (qwen3)");
  click("Switch authentication (API key)");
  composer.update({ ...running, standing: { ...running.standing, signedIn: false } });
  click("Sign in (Signed out)");
  assert.deepEqual(said.map((message) => "what" in message && message.what), ["chooseModel", "switchAuthentication", "signIn"]);
  composer.update({ ...running, standing: { server: "starting", message: "The server is starting…", signedIn: false } });
  assert.equal(find("#standing [role=status]").textContent, "The server is starting…");
});
