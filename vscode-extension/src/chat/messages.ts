// What VS Code's own chat hands over, as messages of the contract.
import type { ChatMessage } from "../contract.gen.ts";

const ASSISTANT = 2; // LanguageModelChatMessageRole.Assistant; User is 1, and System (3) is only proposed
const SYSTEM = 3;

/** A message of VS Code's, as far as it counts here. */
export interface Spoken {
  readonly role: number;
  readonly content: readonly unknown[];
}

/** The messages with text; those of one speaker in a row become one, and what is no text is left out. */
export function messagesOf(spoken: readonly Spoken[]): ChatMessage[] {
  const messages: ChatMessage[] = [];
  for (const { role: number, content } of spoken) {
    const role = number === ASSISTANT ? "assistant" : number === SYSTEM ? "system" : "user";
    const text = content.map(textOf).join("");
    const last = messages.at(-1);
    if (text === "") {
      continue;
    }
    if (last?.role === role) {
      last.content += `\n\n${text}`;
    } else {
      messages.push({ role, content: text });
    }
  }
  return messages;
}

/** The text of a part; a part of another kind has none. */
export function textOf(part: unknown): string {
  const value = (part as { value?: unknown } | null)?.value;
  return typeof value === "string" ? value : "";
}

const CHARACTERS_PER_TOKEN = 4;

/** About how many tokens a text is: the provider's tokenizer is not here. */
export function estimateTokens(text: string): number {
  return Math.ceil(text.length / CHARACTERS_PER_TOKEN);
}
