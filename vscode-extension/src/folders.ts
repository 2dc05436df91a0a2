// Which workspace folder something is about. The user is asked only where it matters and cannot be told.
import * as vscode from "vscode";

/** The folder that is meant without asking: the active editor's, else the only one. */
export function currentFolder(): vscode.WorkspaceFolder | undefined {
  const active = vscode.window.activeTextEditor?.document.uri;
  const folders = vscode.workspace.workspaceFolders ?? [];
  const ofActive = active && vscode.workspace.getWorkspaceFolder(active);
  return ofActive ?? (folders.length === 1 ? folders[0] : undefined);
}

/** The folder whose status is shown: the one that is meant, else the first. */
export function shownFolder(): vscode.WorkspaceFolder | undefined {
  return currentFolder() ?? vscode.workspace.workspaceFolders?.[0];
}

/** The folder that a document, or the folder itself, lies in, as VS Code calls it; undefined where it lies in none. */
export function folderOf(uri: string): string | undefined {
  return vscode.workspace.getWorkspaceFolder(vscode.Uri.parse(uri))?.uri.toString();
}

/** A place for a command: `uri` is undefined where no folder is open, or the user means none. */
export interface Where {
  readonly uri: string | undefined;
  readonly folder: vscode.WorkspaceFolder | undefined;
}

/**
 * The folder for a command; undefined when the user dismisses the question. `always` asks whenever there are several
 * folders, since a wrong guess would put something into the wrong one.
 */
export async function chooseFolder(title: string, always = false): Promise<Where | undefined> {
  const folders = vscode.workspace.workspaceFolders ?? [];
  const current = currentFolder();
  if (folders.length < 2 || (current !== undefined && !always)) {
    return { uri: current?.uri.toString(), folder: current };
  }
  const sorted = current === undefined ? folders : [current, ...folders.filter((folder) => folder !== current)];
  const items = sorted.map((folder) => ({ label: folder.name, description: folder.uri.fsPath, folder }));
  const chosen = await vscode.window.showQuickPick(items, { title, placeHolder: "Which folder?" });
  return chosen && { uri: chosen.folder.uri.toString(), folder: chosen.folder };
}
