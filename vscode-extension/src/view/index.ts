// The chat view in the side bar.
import * as vscode from "vscode";
import type { Core } from "../core.ts";

const VIEW = "qwenLs.chat";

/** A piece of a document to ask about. */
export interface Passage {
  readonly uri: vscode.Uri;
  readonly range: vscode.Range;
  readonly text: string;
  readonly languageId: string;
}

/** The chat view, as commands use it. */
export interface ChatView {
  /** Shows the view and puts the cursor into its input. */
  show(): Promise<void>;
  /** Shows the view with a passage attached to the message that is being written. */
  ask(passage: Passage): Promise<void>;
}

/** Registers the view. */
export function registerChatView(core: Core): ChatView {
  const show = async (): Promise<void> => {
    await vscode.commands.executeCommand(`${VIEW}.focus`);
  };
  core.context.subscriptions.push(
    vscode.window.registerWebviewViewProvider(VIEW, {
      resolveWebviewView: (view) => {
        view.description = core.statuses.of(undefined)?.message ?? "";
      },
    }),
  );
  return { show, ask: show };
}
