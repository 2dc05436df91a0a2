// What the chat view shows, and how each message changes it: both sides keep it by this one function.
import type { State, ToView, Turn } from "./protocol.ts";

export const EMPTY: State = {
  turns: [],
  chips: [],
  standing: { server: "starting", message: "The server is starting", signedIn: false },
};

/** The state after a message; the turns that it does not touch are the same objects as before. */
export function after(state: State, message: ToView): State {
  switch (message.type) {
    case "state":
      return message.state;
    case "turn":
      return { ...state, turns: put(state.turns, message.turn) };
    case "delta":
      return { ...state, turns: state.turns.map((turn) => grown(turn, message)) };
    case "removed":
      return { ...state, turns: state.turns.filter((turn) => turn.id !== message.id) };
    case "chips":
      return { ...state, chips: message.chips };
    case "standing":
      return { ...state, standing: message.standing };
    case "focus":
      return state;
  }
}

/** The turn that is being answered, if any. */
export function streaming(state: State): Turn | undefined {
  return state.turns.findLast((turn) => turn.state === "streaming");
}

function put(turns: Turn[], turn: Turn): Turn[] {
  const known = turns.some((other) => other.id === turn.id);
  return known ? turns.map((other) => (other.id === turn.id ? turn : other)) : [...turns, turn];
}

function grown(turn: Turn, delta: ToView & { type: "delta" }): Turn {
  if (turn.id !== delta.id || turn.state !== "streaming") {
    return turn; // late: the turn is over
  }
  return { ...turn, [delta.kind]: turn[delta.kind] + delta.text };
}
