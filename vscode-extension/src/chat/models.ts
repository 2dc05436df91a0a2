// The provider's models in VS Code's own picker, for VS Code's chat and for every extension.
import * as vscode from "vscode";
import type { Core } from "../core.ts";
import { failureOf, type Failure } from "../failure.ts";
import { shownFolder } from "../folders.ts";
import type { SignIn } from "../auth/signin.ts";
import { estimateTokens, messagesOf, textOf } from "./messages.ts";

export const VENDOR = "qwen-ls";
const INPUT_TOKENS = 128_000; // the provider's list does not say; it refuses what is too long
const OUTPUT_TOKENS = 8_192;

type Information = vscode.LanguageModelChatInformation;

/** Fits VS Code's LanguageModelChatProvider. */
export class Models implements vscode.LanguageModelChatProvider, vscode.Disposable {
  readonly #core: Core;
  readonly #signIn: SignIn;
  readonly #changed = new vscode.EventEmitter<void>();
  readonly #registrations: vscode.Disposable[];
  #seen = "";

  readonly onDidChangeLanguageModelChatInformation = this.#changed.event;

  constructor(core: Core, signIn: SignIn) {
    this.#core = core;
    this.#signIn = signIn;
    this.#registrations = [
      vscode.lm.registerLanguageModelChatProvider(VENDOR, this),
      core.statuses.onDidChange(() => {
        this.#look();
      }),
    ];
  }

  dispose(): void {
    vscode.Disposable.from(...this.#registrations, this.#changed).dispose();
  }

  async provideLanguageModelChatInformation(
    options: vscode.PrepareLanguageModelChatModelOptions,
    token: vscode.CancellationToken,
  ): Promise<Information[]> {
    const { server } = this.#core;
    const uri = shownFolder()?.uri.toString();
    try {
      const status = await server.command("qwen.auth.status", { uri }, token);
      if (status.signedIn !== true && (options.silent || !(await this.#signIn.signIn({ uri })))) {
        return [];
      }
      const { provider, models } = await server.request("qwen/models/list", { uri }, token);
      const active = models.find((model) => model.active)?.id ?? status.model;
      const ids = [...new Set([...(active === undefined ? [] : [active]), ...models.map((model) => model.id)])];
      return ids.map((id) => informationOf(id, provider));
    } catch (error) {
      if (!options.silent) {
        throw error;
      }
      this.#core.log.debug(`No models: ${failureOf(error).message}`);
      return [];
    }
  }

  async provideLanguageModelChatResponse(
    model: Information,
    messages: readonly vscode.LanguageModelChatRequestMessage[],
    _options: vscode.ProvideLanguageModelChatResponseOptions,
    progress: vscode.Progress<vscode.LanguageModelResponsePart>,
    token: vscode.CancellationToken,
  ): Promise<void> {
    const params = { messages: messagesOf(messages), model: model.id, uri: shownFolder()?.uri.toString() };
    try {
      await this.#core.server.chat(
        params,
        (delta) => {
          if (delta.kind === "delta") {
            progress.report(new vscode.LanguageModelTextPart(delta.text));
          }
        },
        token,
      );
    } catch (error) {
      throw languageModelError(failureOf(error));
    }
  }

  provideTokenCount(_: Information, text: string | vscode.LanguageModelChatRequestMessage): Promise<number> {
    const plain = typeof text === "string" ? text : text.content.map(textOf).join("");
    return Promise.resolve(estimateTokens(plain));
  }

  /** The list is another one when the credential is. */
  #look(): void {
    const now = this.#core.statuses.all().map(({ uri, method, baseUrl, fingerprint, model }) => {
      return [uri, method, baseUrl, fingerprint, model];
    });
    const seen = JSON.stringify(now);
    if (seen !== this.#seen) {
      this.#seen = seen;
      this.#changed.fire();
    }
  }
}

function informationOf(id: string, provider: string): Information {
  return {
    id,
    name: id,
    family: id,
    version: "1",
    detail: provider,
    tooltip: `${id}, by ${provider}`,
    maxInputTokens: INPUT_TOKENS,
    maxOutputTokens: OUTPUT_TOKENS,
    capabilities: { imageInput: false, toolCalling: false },
  };
}

/** A failure in the words that VS Code's own chat knows. */
function languageModelError(failure: Failure): Error {
  const { kind } = failure.data;
  if (kind === "signed-out" || kind === "key-rejected" || kind === "untrusted-origin") {
    return vscode.LanguageModelError.NoPermissions(failure.message);
  }
  if (kind === "quota-exceeded" || kind === "rate-limited" || kind === "free-tier-closed") {
    return vscode.LanguageModelError.Blocked(failure.message);
  }
  return kind === "model-not-found" ? vscode.LanguageModelError.NotFound(failure.message) : failure;
}
