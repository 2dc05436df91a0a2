// The Accounts menu: a session for each credential that signs some folder's requests. No key or token is in one.
import { randomUUID } from "node:crypto";
import * as vscode from "vscode";
import type { Status } from "../contract.gen.ts";
import type { Core } from "../core.ts";
import { Failure } from "../failure.ts";
import type { SignIn } from "./signin.ts";

const ID = "qwen-ls";
const LABEL = "Qwen";
const NAMES = "sessionIds"; // in the extension's own state: credential -> opaque id, so that an id outlives a reload
const LABELS: Record<string, string> = { "qwen-oauth": "Qwen account", "api-key": "API key" };

type Ids = Record<string, string>;

/** Fits VS Code's AuthenticationProvider. */
export class Accounts implements vscode.AuthenticationProvider, vscode.Disposable {
  readonly #core: Core;
  readonly #signIn: SignIn;
  readonly #changed = new vscode.EventEmitter<vscode.AuthenticationProviderAuthenticationSessionsChangeEvent>();
  readonly #registrations: vscode.Disposable[];
  #sessions: vscode.AuthenticationSession[] = [];

  readonly onDidChangeSessions = this.#changed.event;

  constructor(core: Core, signIn: SignIn) {
    this.#core = core;
    this.#signIn = signIn;
    this.#registrations = [
      vscode.authentication.registerAuthenticationProvider(ID, LABEL, this, { supportsMultipleAccounts: false }),
      core.statuses.onDidChange(() => {
        this.#refresh();
      }),
    ];
  }

  dispose(): void {
    vscode.Disposable.from(...this.#registrations).dispose();
    this.#changed.dispose();
  }

  async getSessions(scopes?: readonly string[]): Promise<vscode.AuthenticationSession[]> {
    if (this.#core.server.state === "ready") {
      const status = await this.#core.server.command("qwen.auth.status", {}).catch(() => undefined);
      this.#take([...this.#core.statuses.all(), ...(status === undefined ? [] : [status])]);
    }
    return this.#sessions.filter((session) => !scopes?.length || scopes.every((one) => session.scopes.includes(one)));
  }

  async createSession(scopes: readonly string[]): Promise<vscode.AuthenticationSession> {
    const method = scopes[0];
    if (!(await this.#signIn.signIn(method === undefined ? {} : { method }))) {
      throw new Failure("The sign-in was cancelled.", { kind: "login-cancelled", remedy: "" });
    }
    const sessions = await this.getSessions();
    const session = sessions.find((one) => method === undefined || one.scopes.includes(method)) ?? sessions[0];
    if (session === undefined) {
      throw new Failure("There is no credential after the sign-in.", { kind: "signed-out", remedy: "" });
    }
    return session;
  }

  async removeSession(id: string): Promise<void> {
    const method = this.#sessions.find((session) => session.id === id)?.scopes[0];
    if (method === undefined) {
      return;
    }
    const uri = this.#core.statuses.all().find((status) => status.method === method)?.uri;
    const message = await this.#signIn.logout(method, uri);
    void vscode.window.showInformationMessage(message);
  }

  #refresh(): void {
    if (this.#core.server.state === "ready") {
      this.#take(this.#core.statuses.all());
    }
  }

  #take(statuses: readonly Status[]): void {
    const before = this.#sessions;
    const known = { ...this.#core.context.globalState.get<Ids>(NAMES) };
    const found = new Map<string, vscode.AuthenticationSession>();
    for (const status of statuses) {
      const session = this.#sessionOf(status, known);
      if (session !== undefined) {
        found.set(session.id, session);
      }
    }
    this.#sessions = [...found.values()];
    void this.#core.context.globalState.update(NAMES, known);
    const added = this.#sessions.filter((one) => !before.some(({ id }) => id === one.id));
    const removed = before.filter((one) => !found.has(one.id));
    if (added.length > 0 || removed.length > 0) {
      this.#changed.fire({ added, removed, changed: [] });
    }
  }

  #sessionOf(status: Status, known: Ids): vscode.AuthenticationSession | undefined {
    const { method, fingerprint, signedIn } = status;
    if (signedIn !== true || method === undefined) {
      return undefined;
    }
    const credential = `${method} ${fingerprint ?? ""} ${status.provider ?? ""}`;
    const id = (known[credential] ??= randomUUID());
    const what = LABELS[method] ?? method;
    const label = method === "api-key" ? `${status.provider ?? what} ${fingerprint ?? ""}`.trim() : what;
    return { id, accessToken: id, account: { id: credential, label }, scopes: [method] };
  }
}
