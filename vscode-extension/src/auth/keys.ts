// API keys: typed into a masked input, handed over by a file, kept here where there is no keyring.
import * as vscode from "vscode";
import { PROVIDERS, type KeyResult, type KeySetParams, type StoredKey } from "../contract.gen.ts";
import type { Core, Server, Talk } from "../core.ts";
import { Failure } from "../failure.ts";
import { chooseFolder, folderOf } from "../folders.ts";
import { busy, say } from "../ui.ts";
import { handOver } from "./handover.ts";
import { KeptKeys, nameOf, restoring, type KeptKey } from "./kept.ts";

type Target = StoredKey["target"];
type Whose = Pick<KeySetParams, "provider" | "baseUrl" | "model">;

/** Asks for keys, and takes care of those that VS Code keeps. */
export class Keys implements vscode.Disposable {
  readonly #core: Core;
  readonly #kept: KeptKeys;
  readonly #handed = new Set<string>(); // names of the kept keys that the running server has
  readonly #watching: vscode.Disposable[];

  constructor(core: Core) {
    this.#core = core;
    this.#kept = new KeptKeys(core.context.secrets);
    this.#watching = [
      core.server.onStart((talk) => {
        this.#handed.clear();
        return this.#restore(talk);
      }),
      vscode.workspace.onDidChangeWorkspaceFolders(() => {
        if (core.server.state === "ready") {
          void this.#restore(core.server);
        }
      }),
    ];
  }

  dispose(): void {
    vscode.Disposable.from(...this.#watching).dispose();
  }

  /**
   * Asks for a key, stores it, and makes API keys the method in force there; undefined: dismissed. What `given` holds
   * is not asked for. A document stands for its folder, and one that lies in none for the user.
   */
  async set(wanted: Target, given: Whose & { uri?: string | undefined } = {}): Promise<KeyResult | undefined> {
    const { target, place } = meant(wanted, given.uri);
    const title = target === "user" ? "API key for this user" : "API key for this workspace";
    const uri = target === "user" ? place : await folderForKey(title, place);
    if (uri === DISMISSED) {
      return undefined;
    }
    const whose = given.provider === undefined ? await askWhose(title) : given;
    const key = whose && (await askKey(title, whose));
    if (!whose || !key) {
      return undefined;
    }
    const { provider, baseUrl, model } = whose;
    const params: KeySetParams = { provider, baseUrl, model, target, uri };
    const result = await busy("Qwen: checking the key", (token) => this.#store(key, params, token));
    say(result.message);
    const switched = await this.#core.server.command("qwen.auth.switch", { method: "api-key", target, uri });
    if (switched.status.method !== "api-key") {
      say(switched.message);
    }
    return result;
  }

  /** Forgets a stored key. */
  async remove(stored: StoredKey, uri: string | undefined): Promise<string> {
    const { target, provider } = stored;
    const { message } = await this.#core.server.command("qwen.keys.remove", { target, provider, uri });
    await this.reconcile();
    return message;
  }

  /** Forgets the kept keys that the server has been told to forget. */
  async reconcile(): Promise<void> {
    const { keys } = await this.#core.server.command("qwen.keys.list", {});
    const known = new Set(keys.filter((key) => key.keptIn === "client").map(nameOf));
    await this.#kept.drop((key) => this.#handed.has(nameOf(key)) && !known.has(nameOf(key)));
  }

  async #store(key: string, params: KeySetParams, token: vscode.CancellationToken): Promise<KeyResult> {
    const { server } = this.#core;
    const result = await handOver(await handoverOf(server, token), key, (keyFile) =>
      server.command("qwen.keys.set", { ...params, keyFile }, token),
    );
    const { stored } = result;
    if (stored?.keptIn === "client") {
      const { target, provider, baseUrl, model, folder } = stored;
      await this.#kept.keep({ key, target, provider, baseUrl, model, folder, uri: params.uri });
      this.#handed.add(nameOf(stored));
    } else if (stored !== undefined) {
      await this.#kept.drop((other) => nameOf(other) === nameOf(stored));
    }
    return result;
  }

  /** Hands over what is kept for the user and for the open folders. */
  async #restore(talk: Talk): Promise<void> {
    const open = new Set((vscode.workspace.workspaceFolders ?? []).map((folder) => folder.uri.toString()));
    for (const key of await this.#kept.all()) {
      const isHere = key.target === "user" || (key.uri !== undefined && open.has(key.uri));
      if (isHere && !this.#handed.has(nameOf(key))) {
        this.#handed.add(nameOf(key));
        await this.#handOverAgain(key, talk);
      }
    }
  }

  async #handOverAgain(key: KeptKey, talk: Talk): Promise<void> {
    try {
      await handOver(handoverFolder(talk), key.key, (keyFile) => talk.command("qwen.keys.set", restoring(key, keyFile)));
    } catch (error) {
      this.#handed.delete(nameOf(key));
      this.#core.log.warn(`A kept key could not be handed over: ${error instanceof Error ? error.message : ""}`);
    }
  }
}

const DISMISSED = Symbol("dismissed");

/** Whose key it is to be, and the folder that a document lies in. */
function meant(target: Target, uri: string | undefined): { target: Target; place: string | undefined } {
  const place = uri === undefined ? undefined : folderOf(uri);
  return { target: uri !== undefined && place === undefined ? "user" : target, place };
}

/** The folder to set a key for. */
async function folderForKey(title: string, given: string | undefined): Promise<string | typeof DISMISSED> {
  const where = given === undefined ? await chooseFolder(title, true) : { uri: given };
  if (where === undefined) {
    return DISMISSED;
  }
  if (where.uri === undefined) {
    const remedy = "Open a folder, or use “Qwen: Set API Key for This User…”";
    throw new Failure(`No folder is open to set a key for. ${remedy}.`, { kind: "not-supported", remedy });
  }
  return where.uri;
}

/** The hand-over folder, once the server has started. */
async function handoverOf(server: Server, token?: vscode.CancellationToken): Promise<string> {
  await server.command("qwen.auth.status", {}, token);
  return handoverFolder(server);
}

function handoverFolder(talk: Talk): string {
  if (talk.handover === undefined) {
    const remedy = "Use “Qwen: Open .env”, or `qwen-ls keys set` in a terminal";
    const message = `The server could make no folder to hand a key over in. ${remedy}.`;
    throw new Failure(message, { kind: "not-supported", remedy });
  }
  return talk.handover;
}

const CUSTOM = "custom";

/** Whose key it is, and where it goes; undefined: dismissed. */
async function askWhose(title: string): Promise<Whose | undefined> {
  const items = [
    ...PROVIDERS.flatMap(({ id, label, baseUrls }) =>
      baseUrls.map((baseUrl) => ({ label, description: baseUrl, id, baseUrl })),
    ),
    { label: "Another OpenAI-compatible server…", description: "with a base URL of its own", id: CUSTOM, baseUrl: "" },
  ];
  const placeHolder = "Whose key is it?";
  const chosen = await vscode.window.showQuickPick(items, { title, placeHolder, matchOnDescription: true });
  if (chosen === undefined) {
    return undefined;
  }
  const { id: provider, baseUrl } = chosen;
  if (baseUrl !== "" && !baseUrl.includes("{")) {
    return { provider, baseUrl };
  }
  return askServer(title, provider, baseUrl);
}

/** The base URL and the model of a server that the catalogue cannot know. */
async function askServer(title: string, provider: string, baseUrl: string): Promise<Whose | undefined> {
  const prompt = "Base URL of the server, to which /chat/completions is added";
  const placeHolder = baseUrl || "https://host/v1";
  const url = await vscode.window.showInputBox({ title, prompt, placeHolder, value: baseUrl, ignoreFocusOut: true });
  if (!url?.trim()) {
    return undefined;
  }
  const modelPrompt = "Model to ask for; empty: the first that the server lists";
  const model = await vscode.window.showInputBox({ title, prompt: modelPrompt, ignoreFocusOut: true });
  return model === undefined
    ? undefined
    : { provider, baseUrl: url.trim(), model: model.trim() || undefined };
}

/** The key, masked. */
async function askKey(title: string, whose: Whose): Promise<string | undefined> {
  const prompt = `The key for ${whose.baseUrl ?? "its provider"}. It goes to the keyring, never into a setting or a log.`;
  const key = await vscode.window.showInputBox({ title, prompt, password: true, ignoreFocusOut: true });
  return key?.trim();
}
