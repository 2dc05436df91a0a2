// The Accounts menu: a session for each credential that signs some folder's requests. No key or token is in one.
import { randomUUID } from "node:crypto";
import * as vscode from "vscode";
import type { Status } from "../contract.gen.ts";
import type { Core } from "../core.ts";
import { Failure } from "../failure.ts";
import { say } from "../ui.ts";
import { sessionsOf, type Session } from "./sessions.ts";
import type { SignIn } from "./signin.ts";

const ID = "qwen-ls";
const LABEL = "Qwen";
const SALT = "sessionSalt"; // in the extension's own state, so that an id says nothing and outlives a reload
const PATIENCE_MS = 10_000; // a first start may take minutes; whoever asks meanwhile is told of sessions later

/** Fits VS Code's AuthenticationProvider. */
export class Accounts implements vscode.AuthenticationProvider, vscode.Disposable {
  readonly #core: Core;
  readonly #signIn: SignIn;
  readonly #changed = new vscode.EventEmitter<vscode.AuthenticationProviderAuthenticationSessionsChangeEvent>();
  readonly #registrations: vscode.Disposable[];
  #sessions: Session[] = [];

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
    const statuses = await Promise.race([this.#ask(), later(PATIENCE_MS)]);
    if (statuses !== undefined) {
      this.#take(statuses);
    }
    const sessions = this.#sessions.map(shown);
    return sessions.filter((session) => !scopes?.length || scopes.every((one) => session.scopes.includes(one)));
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

  /** Signs out of a credential in each folder that it still signs for; what signs there by now is another matter. */
  async removeSession(id: string): Promise<void> {
    const { uris, method } = this.#sessions.find((session) => session.id === id) ?? { uris: [], method: "" };
    const said: string[] = [];
    for (const uri of uris) {
      const status = await this.#core.server.command("qwen.auth.status", { uri });
      if (sessionsOf([status], this.#salt()).some((session) => session.id === id)) {
        said.push(await this.#signIn.logout(method, uri));
      }
    }
    for (const message of new Set(said)) {
      say(message);
    }
  }

  /** The status of every folder, as the server has it now; undefined where it does not answer. */
  async #ask(): Promise<Status[] | undefined> {
    const uris = (vscode.workspace.workspaceFolders ?? []).map((folder) => folder.uri.toString());
    const asked = (uris.length === 0 ? [undefined] : uris).map((uri) =>
      this.#core.server.command("qwen.auth.status", { uri }),
    );
    return Promise.all(asked).catch(() => undefined);
  }

  #refresh(): void {
    if (this.#core.server.state === "ready") {
      this.#take(this.#core.statuses.all());
    }
  }

  #take(statuses: readonly Status[]): void {
    const before = this.#sessions;
    this.#sessions = sessionsOf(statuses, this.#salt());
    const added = this.#sessions.filter((one) => !before.some(({ id }) => id === one.id));
    const removed = before.filter((one) => !this.#sessions.some(({ id }) => id === one.id));
    if (added.length > 0 || removed.length > 0) {
      this.#changed.fire({ added: added.map(shown), removed: removed.map(shown), changed: [] });
    }
  }

  #salt(): string {
    const { globalState } = this.#core.context;
    const known = globalState.get<string>(SALT);
    const salt = known ?? randomUUID();
    if (known === undefined) {
      void globalState.update(SALT, salt);
    }
    return salt;
  }
}

function shown({ id, method, label }: Session): vscode.AuthenticationSession {
  return { id, accessToken: id, account: { id: `${method} ${label}`, label }, scopes: [method] };
}

function later(milliseconds: number): Promise<undefined> {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds, undefined);
  });
}
