// Keys that VS Code keeps where there is no keyring: SecretStorage, handed over again to each server that starts.
import type { KeySetParams, StoredKey } from "../contract.gen.ts";

/** The part of VS Code's SecretStorage that is used. */
export interface Secrets {
  get(name: string): Thenable<string | undefined>;
  store(name: string, value: string): Thenable<void>;
  delete(name: string): Thenable<void>;
}

/** A key with what belongs to it. `uri` is what the client called its folder. */
export interface KeptKey {
  readonly key: string;
  readonly target: StoredKey["target"];
  readonly provider: string;
  readonly baseUrl: string;
  readonly model?: string | undefined;
  readonly uri?: string | undefined;
  readonly folder?: string | undefined;
}

const NAME = "qwen-ls.keys"; // one entry for all: SecretStorage could not be listed in the oldest VS Code served
const SHAPE = 1;

/** Reads and writes the kept keys, one change at a time. */
export class KeptKeys {
  readonly #secrets: Secrets;
  #last: Promise<unknown> = Promise.resolve();

  constructor(secrets: Secrets) {
    this.#secrets = secrets;
  }

  /** All of them. What makes no sense counts as none. */
  async all(): Promise<KeptKey[]> {
    const text = await this.#secrets.get(NAME);
    try {
      const { v, keys } = JSON.parse(text ?? "") as { v?: unknown; keys?: unknown };
      return v === SHAPE && Array.isArray(keys) ? (keys as KeptKey[]) : [];
    } catch {
      return [];
    }
  }

  /** Keeps a key in place of the one with the same name. */
  keep(key: KeptKey): Promise<void> {
    return this.#change((keys) => [...keys.filter((other) => nameOf(other) !== nameOf(key)), key]);
  }

  /** Forgets every key that `goes` names. */
  drop(goes: (key: KeptKey) => boolean): Promise<void> {
    return this.#change((keys) => keys.filter((key) => !goes(key)));
  }

  #change(change: (keys: KeptKey[]) => KeptKey[]): Promise<void> {
    const turn = this.#last.then(async () => {
      const before = await this.all();
      const after = change(before);
      if (after.length === 0) {
        await this.#secrets.delete(NAME);
      } else if (after.length !== before.length || after.some((key, at) => key !== before[at])) {
        await this.#secrets.store(NAME, JSON.stringify({ v: SHAPE, keys: after }));
      }
    });
    this.#last = turn.catch(() => undefined);
    return turn;
  }
}

/** One name per folder, and one per provider for the user, as the server has it. */
export function nameOf(key: Pick<StoredKey, "target" | "provider" | "folder">): string {
  return key.target === "workspaceFolder" ? `folder:${key.folder ?? ""}` : `user:${key.provider}`;
}

/** What the server is told when a kept key is handed over again. */
export function restoring(key: KeptKey, keyFile: string): KeySetParams {
  const { target, provider, baseUrl, model, uri } = key;
  return { keyFile, target, provider, baseUrl, model, uri, restore: true };
}
