// What VS Code calls: everything is put together here and nowhere else.
import * as vscode from "vscode";

/** Called once, when VS Code has started. */
export function activate(context: vscode.ExtensionContext): void {
  const log = vscode.window.createOutputChannel("Qwen", { log: true });
  context.subscriptions.push(
    log,
    vscode.commands.registerCommand("qwenLs.showOutput", () => {
      log.show();
    }),
  );
}
