// What of the editor goes along with a message: the selection, a file, the problems of a file.
import * as vscode from "vscode";
import type { Attachment } from "./chat.ts";
import { type Diagnostic, lines } from "./context.ts";

const MOST_PROBLEMS = 50; // of one file; more would drown the question

const SEVERITIES: Record<vscode.DiagnosticSeverity, Diagnostic["severity"]> = {
  [vscode.DiagnosticSeverity.Error]: "error",
  [vscode.DiagnosticSeverity.Warning]: "warning",
  [vscode.DiagnosticSeverity.Information]: "information",
  [vscode.DiagnosticSeverity.Hint]: "hint",
};

/** A piece of a document to ask about. */
export interface Passage {
  readonly uri: vscode.Uri;
  readonly range: vscode.Range;
  readonly text: string;
  readonly languageId: string;
}

/** What is to be attached; a line of text where there is nothing, undefined where the user changed their mind. */
export async function attachment(kind: "selection" | "file" | "problems"): Promise<Attachment | string | undefined> {
  if (kind === "file") {
    const chosen = await chooseFile();
    return chosen === undefined ? undefined : file(chosen);
  }
  if (kind === "selection") {
    const found = selected();
    return found === undefined ? "Nothing is selected in the editor." : passage(found);
  }
  const uri = vscode.window.activeTextEditor?.document.uri;
  return (uri === undefined ? undefined : problems(uri)) ?? "VS Code shows no problems for the file in the editor.";
}

/** A passage as an attachment; the part of its last line counts as the line. */
export function passage({ uri, range, text, languageId }: Passage): Attachment {
  const endLine = range.end.character > 0 || range.isEmpty ? range.end.line + 1 : range.end.line;
  const selection = { uri: uri.toString(), startLine: range.start.line, endLine, text, languageId };
  const where = vscode.workspace.asRelativePath(uri);
  return {
    chip: { kind: "selection", label: `${basename(uri)}, ${lines(selection)}`, title: `${where}, ${lines(selection)}` },
    context: { selection },
  };
}

/** A file as an attachment. */
function file(uri: vscode.Uri): Attachment {
  return {
    chip: { kind: "file", label: basename(uri), title: vscode.workspace.asRelativePath(uri) },
    context: { files: [uri.toString()] },
  };
}

/** The problems that VS Code shows for a file, the worst first; undefined where there are none. */
function problems(uri: vscode.Uri): Attachment | undefined {
  const found = vscode.languages
    .getDiagnostics(uri)
    .toSorted((one, other) => one.severity - other.severity)
    .slice(0, MOST_PROBLEMS);
  if (found.length === 0) {
    return undefined;
  }
  const count = found.length === 1 ? "1 problem" : `${found.length} problems`;
  const label = `${count} in ${basename(uri)}`;
  const diagnostics = found.map((one) => diagnostic(uri, one));
  return { chip: { kind: "problems", label, title: label }, context: { diagnostics } };
}

/** Asks for a file of the workspace; undefined where the user chose none. */
async function chooseFile(): Promise<vscode.Uri | undefined> {
  const folder = vscode.workspace.workspaceFolders?.[0]?.uri;
  const active = vscode.window.activeTextEditor?.document.uri;
  const defaultUri = active?.scheme === "file" ? active : folder;
  const chosen = await vscode.window.showOpenDialog({
    title: "Attach a File",
    openLabel: "Attach",
    ...(defaultUri === undefined ? {} : { defaultUri }),
  });
  return chosen?.[0];
}

/** The selection of the editor that was last used; undefined where nothing is selected. */
function selected(): Passage | undefined {
  const editor = vscode.window.activeTextEditor;
  if (editor === undefined || editor.selection.isEmpty) {
    return undefined;
  }
  const { document, selection } = editor;
  const { uri, languageId } = document;
  return { uri, range: selection, text: document.getText(selection), languageId };
}

function diagnostic(uri: vscode.Uri, { range, severity, message, source, code }: vscode.Diagnostic): Diagnostic {
  const name = typeof code === "object" ? code.value : code;
  return {
    uri: uri.toString(),
    line: range.start.line,
    severity: SEVERITIES[severity],
    message,
    ...(source === undefined ? {} : { source }),
    ...(name === undefined ? {} : { code: String(name) }),
  };
}

function basename(uri: vscode.Uri): string {
  return uri.path.slice(uri.path.lastIndexOf("/") + 1);
}
