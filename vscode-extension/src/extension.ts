// What VS Code calls: everything is put together here and nowhere else.
import * as vscode from "vscode";
import { Accounts } from "./auth/accounts.ts";
import { Keys } from "./auth/keys.ts";
import { registerRedirect } from "./auth/redirect.ts";
import { SignIn } from "./auth/signin.ts";
import { Models } from "./chat/models.ts";
import { registerParticipant } from "./chat/participant.ts";
import { registerCommands, serverCommands, type Parts } from "./commands.ts";
import type { Core } from "./core.ts";
import { Pages } from "./pages.ts";
import { workspaceTrust } from "./server/options.ts";
import { LanguageServer } from "./server/server.ts";
import { SECTIONS } from "./settings.ts";
import { ToldStatuses } from "./statuses.ts";
import { StatusBar } from "./statusbar.ts";
import { registerChatView } from "./view/index.ts";

let server: LanguageServer | undefined;

/** Called once, when VS Code has started. */
export function activate(context: vscode.ExtensionContext): void {
  const log = vscode.window.createOutputChannel("Qwen", { log: true });
  server = new LanguageServer(
    context,
    log,
    serverCommands(() => parts),
  );
  const statuses = new ToldStatuses(server);
  const core: Core = { context, server, statuses, log };
  const keys = new Keys(core);
  const signIn = new SignIn(core, keys);
  const pages = new Pages();
  const parts: Parts = { core, signIn, keys, pages, view: registerChatView(core) };
  const tellTrust = (): void => {
    core.server.notify("qwen/didChangeTrust", { workspaceTrust: workspaceTrust() });
  };
  context.subscriptions.push(
    log,
    server,
    statuses,
    keys,
    signIn,
    pages,
    registerCommands(parts),
    new Accounts(core, signIn),
    new StatusBar(core),
    new Models(core, signIn),
    registerParticipant(core),
    registerRedirect(core),
    vscode.workspace.onDidGrantWorkspaceTrust(tellTrust),
    server.onDidChangeState(tellTrust), // it may have been granted while the server started
    vscode.workspace.onDidChangeConfiguration((event) => {
      void settingsChanged(event, core);
    }),
  );
  void server.start();
}

/** Called when VS Code ends, which waits for it. */
export async function deactivate(): Promise<void> {
  await server?.stop();
}

const RESTARTING = ["qwenLs.server.path", "qwenLs.server.python"]; // what names the server itself

/** The server reads the user's settings once, when it starts. */
async function settingsChanged(event: vscode.ConfigurationChangeEvent, core: Core): Promise<void> {
  if (RESTARTING.some((name) => event.affectsConfiguration(name))) {
    await core.server.restart();
  } else if (SECTIONS.some((name) => event.affectsConfiguration(name))) {
    const restart = "Restart Server";
    const message = "The Qwen server reads its settings when it starts.";
    if ((await vscode.window.showInformationMessage(message, restart)) === restart) {
      await core.server.restart();
    }
  }
}
