// Which credentials sign the folders' requests, as VS Code's Accounts menu shows them. No key or token is in one.
import { createHash } from "node:crypto";
import path from "node:path";
import type { Status, StoredKey } from "../contract.gen.ts";

const LABELS: Record<string, string> = { "qwen-oauth": "Qwen account" };

/** A credential, and the folders that it signs for; undefined stands for the user's own status. */
export interface Session {
  readonly id: string;
  readonly method: string;
  readonly label: string;
  readonly uris: readonly (string | undefined)[];
}

/** The sessions of some statuses, each once. A token changes with each refresh, and its session does not. */
export function sessionsOf(statuses: readonly Status[], salt: string): Session[] {
  const found = new Map<string, Session>();
  for (const { method, signedIn, provider = "", fingerprint = "", uri } of statuses) {
    if (signedIn !== true || method === undefined) {
      continue;
    }
    const label = method === "api-key" ? `${provider} ${fingerprint}`.trim() : (LABELS[method] ?? method);
    const id = createHash("sha256").update(JSON.stringify([salt, method, label])).digest("hex");
    found.set(id, { id, method, label, uris: [...(found.get(id)?.uris ?? []), uri] });
  }
  return [...found.values()];
}

/** The stored keys that can be forgotten in a folder, by its real path: its own, and the user's; in force or not. */
export function keysOf(folder: string | undefined, keys: readonly StoredKey[]): StoredKey[] {
  return keys.filter((key) => key.target === "user" || isSame(folder, key.folder));
}

function isSame(one: string | undefined, other: string | undefined): boolean {
  return one !== undefined && other !== undefined && path.relative(one, other) === "";
}
