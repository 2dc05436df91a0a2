// What the client tells the server of itself, and how VS Code is to treat what comes back.
import * as vscode from "vscode";
import {
  CloseAction,
  ErrorAction,
  RevealOutputChannelOn,
  type ClientCapabilities as LspCapabilities,
  type LanguageClientOptions,
  type Middleware,
  type StaticFeature,
} from "vscode-languageclient/node";
import type { ClientCapabilities, InitializationOptions } from "../contract.gen.ts";
import { userSettings } from "../settings.ts";
import { tracing } from "./trace.ts";

/** What this client can do, beside the standard. */
export const CAPABILITIES: ClientCapabilities = {
  deviceCode: true,
  workspaceTrust: true,
  secretStore: true,
  redirectUri: true,
  userSettings: true,
};

/** Declares the capabilities at `initialize`. */
export const OURS: StaticFeature = {
  fillClientCapabilities: (capabilities: LspCapabilities) => {
    capabilities.experimental = { ...(capabilities.experimental as object | undefined), qwen: CAPABILITIES };
  },
  initialize: () => undefined,
  getState: () => ({ kind: "static" }),
  clear: () => undefined,
};

/** What the workspace's trust is, in the server's words. */
export function workspaceTrust(): "trusted" | "untrusted" {
  return vscode.workspace.isTrusted ? "trusted" : "untrusted";
}

/** The options of a language client. `closed` is called when the connection ends unasked. */
export function clientOptions(
  log: vscode.LogOutputChannel,
  executeCommand: NonNullable<Middleware["executeCommand"]>,
  closed: () => void,
): LanguageClientOptions {
  return {
    documentSelector: [{ scheme: "file" }, { language: "qwen-chat" }],
    outputChannel: log,
    traceOutputChannel: tracing(log),
    revealOutputChannelOn: RevealOutputChannelOn.Never,
    markdown: { isTrusted: false, supportHtml: false },
    initializationOptions: (): InitializationOptions => ({
      workspaceTrust: workspaceTrust(),
      user: userSettings((name) => vscode.workspace.getConfiguration().inspect(name)),
    }),
    initializationFailedHandler: () => false,
    errorHandler: {
      error: () => ({ action: ErrorAction.Continue, handled: true }), // go on: a broken connection closes by itself
      closed: () => {
        closed();
        return { action: CloseAction.DoNotRestart, handled: true }; // this client is done with; the next start makes a new one
      },
    },
    middleware: { executeCommand, window: { showDocument } },
  };
}

type ShowDocument = NonNullable<NonNullable<Middleware["window"]>["showDocument"]>;

/** A page outside is opened by its text: as a `Uri` it would be decoded, and a nested address broken. */
const showDocument: ShowDocument = async (params, token, next) => {
  if (params.external !== true) {
    return next(params, token);
  }
  try {
    return { success: await vscode.env.openExternal(params.uri as unknown as vscode.Uri) };
  } catch {
    return { success: false };
  }
};
