// What the parts of the extension share: the server as they see it, and the statuses it has told.
import type * as vscode from "vscode";
import type {
  ChatDelta,
  ChatEnd,
  ChatResult,
  ChatSendParams,
  ClientNotifications,
  Commands,
  Requests,
  ServerNotifications,
  Status,
} from "./contract.gen.ts";

/** `down` is between a crash and the next start; `failed` waits for the user. */
export type ServerState = "starting" | "ready" | "down" | "failed" | "stopped";

/** An answer as it ended: its result, and the last value of its stream. */
export type Answer = ChatResult & { end?: ChatEnd };

/** A server that has just started, to which nobody else talks yet. */
export type Talk = Pick<Server, "command" | "handover">;

/** The one server of this window. Calls wait for it while it starts; they fail with a `Failure`. */
export interface Server {
  readonly state: ServerState;
  readonly onDidChangeState: vscode.Event<ServerState>;
  /** The folder that keys are handed over in; undefined while there is no server, or where it has none. */
  readonly handover: string | undefined;
  /** Has each server that starts told something before anybody else talks to it; that may take a few seconds at most. */
  onStart(tell: (talk: Talk) => Promise<void>): vscode.Disposable;
  /** Runs a command of the contract. */
  command<N extends keyof Commands>(
    name: N,
    params: Commands[N]["params"],
    token?: vscode.CancellationToken,
  ): Promise<Commands[N]["result"]>;
  /** Sends a request twin: answered at the end, ended by the token. */
  request<N extends keyof Requests>(
    name: N,
    params: Requests[N]["params"],
    token?: vscode.CancellationToken,
  ): Promise<Requests[N]["result"]>;
  /** Says something; dropped while there is no server. */
  notify<N extends keyof ClientNotifications>(name: N, params: ClientNotifications[N]): void;
  /** Hears something; lasts over restarts. */
  on<N extends keyof ServerNotifications>(
    name: N,
    heard: (params: ServerNotifications[N]) => void,
  ): vscode.Disposable;
  /**
   * Sends a message and streams the answer: `onDelta` gets each piece in order, the promise its end. The token
   * stops it and keeps what came (`stopReason` is `cancelled`).
   */
  chat(
    params: ChatSendParams,
    onDelta: (delta: ChatDelta) => void,
    token?: vscode.CancellationToken,
  ): Promise<Answer>;
  /** Stops the server and starts it anew; restarts queue and never overlap. */
  restart(): Promise<void>;
}

/** What the server has told of each folder; the key is the folder's URI, undefined the user's own status. */
export interface Statuses {
  /** The status of a document's or folder's workspace folder; undefined: of the folder that is meant now. */
  of(uri: vscode.Uri | undefined): Status | undefined;
  /** All of them. */
  all(): readonly Status[];
  readonly onDidChange: vscode.Event<void>;
}

/** What every part of the extension is given. */
export interface Core {
  readonly context: vscode.ExtensionContext;
  readonly server: Server;
  readonly statuses: Statuses;
  readonly log: vscode.LogOutputChannel;
}
