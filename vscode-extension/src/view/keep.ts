// The history as it is kept for the next start of this window.
import * as v from "valibot";
import { ChatContext } from "./context.ts";
import { Turn } from "./protocol.ts";

const MOST = 1_000_000; // characters as JSON: what a window's storage takes without a second thought

const Kept = v.object({ turns: v.array(Turn), contexts: v.record(v.string(), ChatContext) });

/** Turns in order, and by a turn's id what went along with it. */
export type Kept = v.InferOutput<typeof Kept>;

/**
 * What is kept: the latest turns, as many as there is room for. A message that no answer has begun to is left out: it
 * may have been refused for a secret in it.
 */
export function keep(turns: readonly Turn[], contexts: ReadonlyMap<string, ChatContext>): Kept {
  const kept: Kept = { turns: [], contexts: {} };
  let room = MOST;
  for (const turn of turns.filter(hasBegun).toReversed()) {
    const context = contexts.get(turn.id);
    room -= JSON.stringify([turn, context]).length;
    if (room < 0) {
      break;
    }
    kept.turns.unshift(turn);
    if (context !== undefined) {
      kept.contexts[turn.id] = context;
    }
  }
  return kept;
}

function hasBegun({ answer, reasoning }: Turn): boolean {
  return answer !== "" || reasoning !== "";
}

/** What was kept; nothing of what is no history. An answer that was under way ended with its window. */
export function restore(value: unknown): Kept {
  const parsed = v.safeParse(Kept, value);
  if (!parsed.success) {
    return { turns: [], contexts: {} };
  }
  const { turns, contexts } = parsed.output;
  return {
    contexts,
    turns: turns.map((turn) => (turn.state === "streaming" ? { ...turn, state: "stopped" as const } : turn)),
  };
}
