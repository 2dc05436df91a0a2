// What the chat view and the extension say to each other. Each side checks what it hears against these
// schemas and drops the rest. Nothing here ever holds a key or token: the server has them, nobody else.
import * as v from "valibot";

const Text = v.pipe(v.string(), v.maxLength(4_000_000));
const Line = v.pipe(v.string(), v.maxLength(20_000));
const Id = v.pipe(v.string(), v.maxLength(100));
const Count = v.pipe(v.number(), v.integer(), v.minValue(0));

export const Action = v.object({
  title: Line,
  command: Line,
  argument: v.record(v.string(), v.string()),
});

export const Failure = v.object({
  kind: Line,
  message: Line,
  retryable: v.boolean(),
  actions: v.array(Action),
});

export const Usage = v.object({ promptTokens: Count, completionTokens: Count, totalTokens: Count });

/** One message of the user and what came of it. */
export const Turn = v.object({
  id: Id,
  text: Text,
  attached: v.array(Line),
  answer: Text,
  reasoning: Text,
  state: v.picklist(["streaming", "done", "stopped", "failed"]),
  stopReason: v.optional(Line),
  model: v.optional(Line),
  requestedModel: v.optional(Line),
  usage: v.optional(Usage),
  failure: v.optional(Failure),
});

/** Something that goes along with the next message. */
export const Chip = v.object({
  id: Id,
  kind: v.picklist(["selection", "file", "problems"]),
  label: Line,
  title: Line,
});

/** Who signs the next request, and where the server stands. */
export const Standing = v.object({
  server: v.picklist(["starting", "running", "stopped"]),
  message: Line,
  signedIn: v.boolean(),
  method: v.optional(Line),
  model: v.optional(Line),
  folder: v.optional(Line),
});

export const State = v.object({ turns: v.array(Turn), chips: v.array(Chip), standing: Standing });

export const ToView = v.variant("type", [
  v.object({ type: v.literal("state"), state: State }),
  v.object({ type: v.literal("turn"), turn: Turn }),
  v.object({ type: v.literal("delta"), id: Id, kind: v.picklist(["answer", "reasoning"]), text: Text }),
  v.object({ type: v.literal("removed"), id: Id }),
  v.object({ type: v.literal("chips"), chips: v.array(Chip) }),
  v.object({ type: v.literal("standing"), standing: Standing }),
  v.object({ type: v.literal("focus") }),
]);

export const FromView = v.variant("type", [
  v.strictObject({ type: v.literal("ready") }),
  v.strictObject({ type: v.literal("send"), text: Text }),
  v.strictObject({ type: v.literal("stop") }),
  v.strictObject({ type: v.literal("again"), id: Id }),
  v.strictObject({ type: v.literal("act"), id: Id, index: Count }),
  v.strictObject({ type: v.literal("attach"), kind: v.picklist(["selection", "file", "problems"]) }),
  v.strictObject({ type: v.literal("detach"), id: Id }),
  v.strictObject({ type: v.literal("copy"), text: Text }),
  v.strictObject({ type: v.literal("insert"), text: Text }),
  v.strictObject({ type: v.literal("run"), what: v.picklist(["signIn", "switchAuthentication", "chooseModel"]) }),
]);

export type Action = v.InferOutput<typeof Action>;
export type Failure = v.InferOutput<typeof Failure>;
export type Turn = v.InferOutput<typeof Turn>;
export type Chip = v.InferOutput<typeof Chip>;
export type Standing = v.InferOutput<typeof Standing>;
export type State = v.InferOutput<typeof State>;
export type ToView = v.InferOutput<typeof ToView>;
export type FromView = v.InferOutput<typeof FromView>;

/** What the extension said, or undefined for what is no message of it. */
export function parseToView(value: unknown): ToView | undefined {
  const parsed = v.safeParse(ToView, value);
  return parsed.success ? parsed.output : undefined;
}

/** What the view said, or undefined for what is no message of it. */
export function parseFromView(value: unknown): FromView | undefined {
  const parsed = v.safeParse(FromView, value);
  return parsed.success ? parsed.output : undefined;
}
