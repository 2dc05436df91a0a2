// The extension's own redirect: a browser sign-in comes back to VS Code, also where the server is on another machine.
import * as vscode from "vscode";
import type { Core } from "../core.ts";

const PATH = "/auth";

/** Passes on what the browser comes back with. */
export function registerRedirect(core: Core): vscode.Disposable {
  return vscode.window.registerUriHandler({
    handleUri: (uri) => {
      if (uri.path.startsWith(PATH)) {
        core.server.notify("qwen/auth/didRedirect", { uri: uri.toString(true) });
      }
    },
  });
}

/**
 * Where the browser shall come back to, as it is called from outside. The server puts its state at the end, which has
 * to be the end of our path: in a browser's VS Code that is the last value of a query. Undefined where it is not; the
 * server listens on loopback then.
 */
export async function redirectUri(core: Core): Promise<string | undefined> {
  const inner = vscode.Uri.from({ scheme: vscode.env.uriScheme, authority: core.context.extension.id, path: PATH });
  const outer = (await vscode.env.asExternalUri(inner)).toString(true);
  return outer.endsWith(PATH) || outer.endsWith(encodeURIComponent(PATH)) ? outer : undefined;
}
