// Signing in, out, and switching: the user's choices, put to the server.
import { realpath } from "node:fs/promises";
import * as vscode from "vscode";
import type { DeviceCode, LoginParams, LoginResult, SwitchParams } from "../contract.gen.ts";
import type { Core } from "../core.ts";
import { chooseFolder } from "../folders.ts";
import { plain } from "../plain.ts";
import { busy, say, tell, type Report } from "../ui.ts";
import type { Keys } from "./keys.ts";
import { redirectUri } from "./redirect.ts";
import { keysOf } from "./sessions.ts";

const API_KEY = "api-key";
const COPY_CONTEXT = "qwenLs.hasCode"; // for the palette entry that copies the code

/** A method for a folder. */
interface Way {
  readonly method: string;
  readonly uri: string | undefined;
  readonly switchable: boolean;
}

/** The account's commands. */
export class SignIn implements vscode.Disposable {
  readonly #core: Core;
  readonly #keys: Keys;
  readonly #hearing: vscode.Disposable;
  #code: DeviceCode | undefined;
  #ended: (() => void) | undefined;
  #wasBusy = false; // a status from before the sign-in says nothing of its end
  #report: Report | undefined; // of the sign-in that was begun here

  constructor(core: Core, keys: Keys) {
    this.#core = core;
    this.#keys = keys;
    this.#hearing = vscode.Disposable.from(
      core.server.on("qwen/auth/deviceCode", (code) => {
        this.#show(code);
      }),
      core.server.onDidChangeState(() => {
        this.#hide();
      }),
      core.statuses.onDidChange(() => {
        const isBusy = core.statuses.all().some((status) => status.busy);
        if (this.#wasBusy && !isBusy) {
          this.#hide();
        }
        this.#wasBusy = isBusy;
      }),
    );
  }

  dispose(): void {
    this.#hide();
    this.#hearing.dispose();
  }

  /** Signs in by `method`, or by one that the user chooses; false: dismissed. */
  async signIn(given: LoginParams = {}): Promise<boolean> {
    const way = await this.#way("Sign in", given);
    if (way === undefined) {
      return false;
    }
    const { method, uri } = way;
    const { target, provider, baseUrl, model } = given;
    if (method === API_KEY) {
      const whose = target ?? (uri === undefined ? "user" : "workspaceFolder");
      return (await this.#keys.set(whose, { uri, provider, baseUrl, model })) !== undefined;
    }
    const result = await this.#login({ method, target, uri, redirectUri: await redirectUri(this.#core) });
    say(result.message ?? "Signed in.");
    return true;
  }

  /** Switches to `method`, or to one that the user chooses; one without a credential is signed in with. */
  async switchMethod(given: SwitchParams = {}): Promise<void> {
    const way = await this.#way("Switch authentication", given);
    if (way === undefined) {
      return;
    }
    if (!way.switchable) {
      await this.signIn(way);
      return;
    }
    const { method, uri } = way;
    const result = await this.#core.server.command("qwen.auth.switch", { method, uri, target: given.target });
    if (result.status.signedIn !== false || result.status.method !== method) {
      say(result.message);
      return;
    }
    const next = method === API_KEY ? "Set a Key…" : "Sign In…";
    if ((await vscode.window.showInformationMessage(plain(result.message), next)) === next) {
      await this.signIn(way);
    }
  }

  /** Signs out of what the user chooses; false: dismissed, or there is nothing. */
  async signOut(): Promise<boolean> {
    const { server } = this.#core;
    const where = await chooseFolder("Sign out");
    if (where === undefined) {
      return false;
    }
    const { uri, folder } = where;
    const [status, { keys }, real] = await Promise.all([
      server.command("qwen.auth.status", { uri }),
      server.command("qwen.keys.list", { uri }),
      folder && realpath(folder.uri.fsPath).catch(() => folder.uri.fsPath),
    ]);
    const items = keysOf(real, keys).map((key) => {
      const whose = key.target === "user" ? "this user" : "this workspace";
      const forget = (): Promise<string> => this.#keys.remove(key, uri);
      return { label: `Forget the key ${key.fingerprint}`, description: `${key.provider}, for ${whose}`, forget };
    });
    const method = status.method;
    if (status.signedIn === true && method !== undefined && method !== API_KEY) {
      const forget = (): Promise<string> => this.logout(method, uri);
      items.unshift({ label: `Sign out of ${status.provider ?? method}`, description: method, forget });
    }
    if (items.length === 0) {
      say(`There is nothing to sign out of here: ${status.message}`);
      return false;
    }
    const chosen = await vscode.window.showQuickPick(items, { title: "Sign out" });
    if (chosen !== undefined) {
      say(await chosen.forget());
    }
    return chosen !== undefined;
  }

  /** Forgets a method's credential; the server's line on what still applies. */
  async logout(method: string, uri: string | undefined): Promise<string> {
    const { message } = await this.#core.server.command("qwen.auth.logout", { method, uri });
    await this.#keys.reconcile();
    return message;
  }

  /** Copies the code of the sign-in that is under way. */
  async copyCode(): Promise<void> {
    if (this.#code !== undefined) {
      await vscode.env.clipboard.writeText(this.#code.userCode);
    }
  }

  /** The folder and the method that are meant; undefined: dismissed. */
  async #way(title: string, given: SwitchParams): Promise<Way | undefined> {
    const where = given.uri === undefined ? await chooseFolder(title) : { uri: given.uri };
    if (where === undefined) {
      return undefined;
    }
    const { uri } = where;
    const { methods } = await this.#core.server.command("qwen.auth.methods", { uri });
    const items = methods.map(({ method, title: label, active, switchable }) => {
      return { label, description: active ? `${method} (now)` : method, method, uri, switchable: switchable !== false };
    });
    if (given.method !== undefined) {
      return items.find(({ method }) => method === given.method) ?? { method: given.method, uri, switchable: true };
    }
    return vscode.window.showQuickPick(items, { title, placeHolder: "With…" });
  }

  #login(params: LoginParams): Promise<LoginResult> {
    return busy("Qwen: signing in", async (token, report) => {
      this.#report = report;
      try {
        return await this.#core.server.request("qwen/auth/login", params, token);
      } finally {
        this.#report = undefined;
        this.#hide();
      }
    });
  }

  /**
   * Shows the code until the sign-in has ended: in the notification of our own sign-in, else in one of its own. The
   * page is opened when the server asks for it.
   */
  #show(code: DeviceCode): void {
    this.#hide();
    this.#code = code;
    this.#wasBusy = false;
    void vscode.commands.executeCommand("setContext", COPY_CONTEXT, true);
    const text = `enter the code ${code.userCode} at ${code.verificationUri}`;
    if (this.#report !== undefined) {
      this.#report(text);
      return;
    }
    void busy("Qwen: signing in", (token, report) => {
      report(text);
      token.onCancellationRequested(() => {
        this.#core.server.command("qwen.auth.cancel", { loginId: code.loginId }).catch(tell);
      });
      return new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, code.expiresIn * 1000);
        this.#ended = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    });
  }

  #hide(): void {
    this.#ended?.();
    this.#ended = undefined;
    this.#code = undefined;
    void vscode.commands.executeCommand("setContext", COPY_CONTEXT, false);
  }
}
