// The one server of this window: started, watched, started again after a crash, and talked to.
import { randomUUID } from "node:crypto";
import * as vscode from "vscode";
import { ExecuteCommandRequest, ProgressType, type LanguageClient, type Middleware } from "vscode-languageclient/node";
import {
  type ChatDelta,
  type ChatEnd,
  type ChatSendParams,
  type ClientNotifications,
  type Commands,
  type Requests,
  type ServerCapabilities,
  type ServerNotifications,
} from "../contract.gen.ts";
import type { Answer, Server, ServerState, Talk } from "../core.ts";
import { Failure, failureOf } from "../failure.ts";
import { Crashes } from "./backoff.ts";
import { begin, clientOf, end, introduce, NotConnected } from "./connecting.ts";
import { findServer, type Launch } from "./launch.ts";
import { crashedTooOften, serverGone } from "./failures.ts";
import { clientOptions } from "./options.ts";
import { GivenUp, Patience } from "./patience.ts";
import { Queue } from "./queue.ts";

type Heard = (params: never) => void;
const CHAT_VALUE = new ProgressType<ChatDelta | ChatEnd>();
const RESTART = "Restart Server";
const SHOW_OUTPUT = "Show Output";

/** Fits `Server`. `executeCommand` is what the server's own commands run through when VS Code calls them. */
export class LanguageServer implements Server, vscode.Disposable {
  readonly #context: vscode.ExtensionContext;
  readonly #log: vscode.LogOutputChannel;
  readonly #executeCommand: NonNullable<Middleware["executeCommand"]>;
  readonly #changed = new vscode.EventEmitter<ServerState>();
  readonly #heard = new Map<string, Set<Heard>>();
  readonly #telling = new Set<(talk: Talk) => Promise<void>>();
  readonly #queue = new Queue();
  readonly #crashes = new Crashes();
  readonly #patience = new Patience();
  #client: LanguageClient | undefined;
  #ours: ServerCapabilities | undefined;
  #state: ServerState = "starting";
  #failure: Failure | undefined;
  #since = 0;
  #timer: NodeJS.Timeout | undefined;
  #over = false;

  readonly onDidChangeState = this.#changed.event;

  constructor(
    context: vscode.ExtensionContext,
    log: vscode.LogOutputChannel,
    executeCommand: NonNullable<Middleware["executeCommand"]>,
  ) {
    this.#context = context;
    this.#log = log;
    this.#executeCommand = executeCommand;
  }

  get state(): ServerState {
    return this.#state;
  }

  get handover(): string | undefined {
    return this.#ours?.handover;
  }

  /** Starts it for the first time. */
  start(): Promise<void> {
    return this.#queue.add("start", () => this.#start());
  }

  restart(): Promise<void> {
    this.#crashes.reset();
    this.#patience.giveUp();
    return this.#queue.add("restart", async () => {
      await this.#stop();
      await this.#start();
    });
  }

  /** Ends it for good. */
  async stop(): Promise<void> {
    this.#over = true;
    this.#patience.giveUp();
    await this.#queue.add("stop", () => this.#stop());
    this.#set("stopped");
  }

  dispose(): void {
    void this.stop();
    this.#changed.dispose();
  }

  // --- talking -----------------------------------------------------------------------------------

  command<N extends keyof Commands>(
    name: N,
    params: Commands[N]["params"],
    token?: vscode.CancellationToken,
  ): Promise<Commands[N]["result"]> {
    return this.#call(ExecuteCommandRequest.method, { command: name, arguments: [params] }, token);
  }

  request<N extends keyof Requests>(
    name: N,
    params: Requests[N]["params"],
    token?: vscode.CancellationToken,
  ): Promise<Requests[N]["result"]> {
    return this.#call(name, params, token);
  }

  notify<N extends keyof ClientNotifications>(name: N, params: ClientNotifications[N]): void {
    if (this.#state === "ready") {
      this.#client?.sendNotification(name, params).catch(() => undefined);
    }
  }

  on<N extends keyof ServerNotifications>(name: N, heard: (params: ServerNotifications[N]) => void): vscode.Disposable {
    const all = this.#heard.get(name) ?? new Set<Heard>();
    if (!this.#heard.has(name)) {
      this.#heard.set(name, all);
      this.#listen(this.#client, name);
    }
    all.add(heard);
    return new vscode.Disposable(() => all.delete(heard));
  }

  onStart(tell: (talk: Talk) => Promise<void>): vscode.Disposable {
    this.#telling.add(tell);
    return new vscode.Disposable(() => this.#telling.delete(tell));
  }

  #listen(client: LanguageClient | undefined, name: string): void {
    client?.onNotification(name, (params) => {
      this.#heard.get(name)?.forEach((heard) => {
        heard(params as never);
      });
    });
  }

  async chat(
    params: ChatSendParams,
    onDelta: (delta: ChatDelta) => void,
    token?: vscode.CancellationToken,
  ): Promise<Answer> {
    const client = await this.#ready(token);
    const partialResultToken = randomUUID();
    let end: ChatEnd | undefined;
    let turnId = "";
    const hearing = client.onProgress(CHAT_VALUE, partialResultToken, (value) => {
      turnId = value.turnId;
      if (value.kind === "end") {
        end = value;
      } else {
        onDelta(value);
      }
    });
    try {
      const result = await this.#call<Answer>("qwen/chat/send", { ...params, partialResultToken }, token);
      return { ...result, ...(end && { end }) };
    } catch (error) {
      const failure = failureOf(error);
      if (failure.data.kind === "cancelled" && token?.isCancellationRequested === true) {
        const conversationId = params.conversationId ?? "";
        return { conversationId, turnId, stopReason: "cancelled", ...(end && { end }) };
      }
      throw failure;
    } finally {
      hearing.dispose();
    }
  }

  async #call<Result>(method: string, params: unknown, token?: vscode.CancellationToken): Promise<Result> {
    const client = await this.#ready(token);
    try {
      return token === undefined
        ? await client.sendRequest<Result>(method, params)
        : await client.sendRequest<Result>(method, params, token);
    } catch (error) {
      throw client === this.#client && client.isRunning() ? failureOf(error) : serverGone();
    }
  }

  /** The running client. Waits while there is a start to wait for. */
  async #ready(token?: vscode.CancellationToken): Promise<LanguageClient> {
    while (this.#state !== "ready" || this.#client === undefined) {
      if (this.#state === "failed" || this.#over) {
        throw this.#failure ?? serverGone();
      }
      await this.#change(token);
    }
    return this.#client;
  }

  #change(token?: vscode.CancellationToken): Promise<void> {
    return new Promise((resolve, reject) => {
      const watching = [
        this.onDidChangeState(() => {
          done();
          resolve();
        }),
        token?.onCancellationRequested(() => {
          done();
          reject(new Failure("Cancelled", { kind: "cancelled", remedy: "" }));
        }),
      ];
      const done = (): void => {
        watching.forEach((one) => void one?.dispose());
      };
    });
  }

  // --- living ------------------------------------------------------------------------------------

  async #start(): Promise<void> {
    if (this.#over || this.#state === "ready") {
      return;
    }
    this.#set("starting");
    try {
      await this.#connect(await findServer(this.#context, this.#log));
    } catch (error) {
      if (!(error instanceof GivenUp)) {
        this.#fail(failureOf(error));
      }
    }
  }

  /** Connects with a server, or with the one that takes its place. */
  async #connect(launch: Launch): Promise<void> {
    this.#log.info(`Starting ${launch.command} (${launch.from})`);
    const cwd = this.#context.globalStorageUri.fsPath; // never a workspace: nothing is to be found there
    await vscode.workspace.fs.createDirectory(this.#context.globalStorageUri);
    const options = clientOptions(this.#log, this.#executeCommand, () => {
      this.#crashed(client);
    });
    const client = clientOf(launch.command, cwd, options);
    for (const name of this.#heard.keys()) {
      this.#listen(client, name);
    }
    this.#client = client;
    this.#since = Date.now();
    try {
      this.#ours = await begin(client, launch, this.#patience);
      const talk: Talk = {
        handover: this.#ours.handover,
        command: (command, params) =>
          client.sendRequest(ExecuteCommandRequest.method, { command, arguments: [params] }),
      };
      await introduce(client, launch, this.#patience, [...this.#telling].map((tell) => tell(talk)));
    } catch (error) {
      await this.#drop(client);
      if (!(error instanceof NotConnected)) {
        throw error;
      }
      if (error.instead === undefined) {
        throw error.cause;
      }
      this.#log.warn(`${error.message} The extension's own server is ${error.instead === "own" ? "made anew" : "used"}.`);
      await this.#connect(await findServer(this.#context, this.#log, error.instead));
      return;
    }
    this.#set("ready");
  }

  async #stop(): Promise<void> {
    clearTimeout(this.#timer);
    const client = this.#client;
    if (client !== undefined) {
      await this.#drop(client);
      this.#set("down");
    }
  }

  async #drop(client: LanguageClient): Promise<void> {
    this.#client = this.#client === client ? undefined : this.#client;
    this.#ours = undefined;
    await end(client).catch((error: unknown) => {
      this.#log.debug(String(error));
    });
  }

  /** The connection ended unasked. */
  #crashed(client: LanguageClient): void {
    if (client !== this.#client || this.#over || this.#state !== "ready") {
      return; // it was being stopped, or its start failed and says so
    }
    const wait = this.#crashes.next(Date.now() - this.#since);
    this.#ours = undefined;
    if (wait === undefined) {
      this.#fail(crashedTooOften());
      return;
    }
    this.#set("down");
    this.#log.warn(`The server ended unexpectedly; it is started again in ${wait} ms`);
    if (this.#crashes.isFirst) {
      void vscode.window
        .showWarningMessage("The Qwen server ended unexpectedly; it is started again.", SHOW_OUTPUT)
        .then((chosen) => {
          this.#chosen(chosen);
        });
    }
    this.#timer = setTimeout(() => {
      void this.#queue.add("again", async () => {
        if (client === this.#client) {
          await this.#drop(client);
          await this.#start();
        }
      });
    }, wait);
  }

  #fail(failure: Failure): void {
    this.#failure = failure;
    this.#log.error(failure.message);
    this.#set("failed");
    void vscode.window.showErrorMessage(failure.message, RESTART, SHOW_OUTPUT).then((chosen) => {
      this.#chosen(chosen);
    });
  }

  #chosen(chosen: string | undefined): void {
    if (chosen === SHOW_OUTPUT) {
      this.#log.show();
    } else if (chosen === RESTART) {
      void this.restart();
    }
  }

  #set(state: ServerState): void {
    this.#failure = state === "failed" ? this.#failure : undefined;
    if (state !== this.#state) {
      this.#state = state;
      this.#changed.fire(state);
    }
  }
}
