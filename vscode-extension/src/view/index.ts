// The chat view in the side bar.
import * as vscode from "vscode";
import type { Core } from "../core.ts";
import type { Passage } from "./attach.ts";
import { Panel, VIEW } from "./panel.ts";

export type { Passage } from "./attach.ts";

/** The chat view, as commands use it. */
export interface ChatView {
  /** Shows the view and puts the cursor into its input. */
  show(): Promise<void>;
  /** Shows the view with a passage attached to the message that is being written. */
  ask(passage: Passage): Promise<void>;
}

/** Registers the view. */
export function registerChatView(core: Core): ChatView {
  const panel = new Panel(core);
  core.context.subscriptions.push(
    panel,
    vscode.window.registerWebviewViewProvider(VIEW, panel),
    vscode.commands.registerCommand("qwenLs.newChat", () => panel.clear()),
    core.statuses.onDidChange(() => { panel.tell(); }),
    core.server.onDidChangeState(() => { panel.tell(); }),
    vscode.window.onDidChangeActiveTextEditor(() => { panel.tell(); }),
    vscode.workspace.onDidChangeWorkspaceFolders(() => { panel.tell(); }),
  );
  return panel;
}
