// What of the editor goes along with a message: the selection, a file, the problems of a file.
import * as vscode from "vscode";
import { say } from "../ui.ts";
import type { Attachment } from "./chat.ts";
import { type Diagnostic, lines } from "./context.ts";

const MOST_FILES = 5000; // to choose from: more take long to list
const NOT_ASKED_ABOUT = "**/{.git,.venv,node_modules,__pycache__}/**"; // beside what the user has VS Code leave out
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

/** What can be attached. */
export type Kind = "selection" | "file" | "problems";

/**
 * What is to be attached to a message of a folder's chat, nothing where the user changed their mind; a line of text
 * where there is nothing.
 */
export async function attachments(kind: Kind, folder: vscode.Uri | undefined): Promise<Attachment[] | string> {
  if (kind === "file") {
    return folder === undefined ? "Open the folder that the file lies in." : files(folder);
  }
  const one = kind === "selection" ? selection() : problems();
  const nothing = kind === "selection" ? "Nothing is selected in the editor." : "The file in the editor has no problems.";
  return one === undefined ? nothing : [one];
}

/** What a message mentions and nobody has attached: the selection, the problems of the file in the editor. */
export function mentioned(text: string): Attachment[] {
  const wanted = [
    /(?<!\S)@selection\b/.test(text) ? selection() : undefined,
    /(?<!\S)@diagnostics\b/.test(text) ? problems() : undefined,
  ];
  return wanted.filter((one) => one !== undefined);
}

/** A passage as an attachment; the part of its last line counts as the line. */
export function passage({ uri, range, text, languageId }: Passage): Attachment {
  const endLine = range.end.character > 0 || range.isEmpty ? range.end.line + 1 : range.end.line;
  const selected = { uri: uri.toString(), startLine: range.start.line, endLine, text, languageId };
  const where = lines(selected);
  const title = `${vscode.workspace.asRelativePath(uri)}, ${where}`;
  return { chip: { kind: "selection", label: `${basename(uri)}, ${where}`, title }, context: { selection: selected } };
}

/** A file as an attachment. */
function file(uri: vscode.Uri): Attachment {
  return {
    chip: { kind: "file", label: basename(uri), title: vscode.workspace.asRelativePath(uri) },
    context: { files: [uri.toString()] },
  };
}

/** The problems that VS Code shows for the file in the editor, the worst first; undefined where there are none. */
function problems(): Attachment | undefined {
  const uri = vscode.window.activeTextEditor?.document.uri;
  if (uri === undefined) {
    return undefined;
  }
  const found = vscode.languages
    .getDiagnostics(uri)
    .toSorted((one, other) => one.severity - other.severity)
    .slice(0, MOST_PROBLEMS);
  if (found.length === 0) {
    return undefined;
  }
  const count = found.length === 1 ? "1 problem" : `${found.length} problems`;
  const title = `${count} in ${vscode.workspace.asRelativePath(uri)}`;
  const diagnostics = found.map((one) => diagnostic(uri, one));
  return { chip: { kind: "problems", label: `${count} in ${basename(uri)}`, title }, context: { diagnostics } };
}

/** Asks for files of a folder; the server takes none that lies outside. */
async function files(folder: vscode.Uri): Promise<Attachment[]> {
  const chosen = await chooseFiles(folder);
  const inside = chosen.filter((uri) => isIn(folder, uri));
  if (inside.length < chosen.length) {
    say(`Only files of the folder ${basename(folder)} can be attached.`);
  }
  return inside.map(file);
}

/** Asks for files: those in the editor first, then the folder's, or any other of it by its path. */
async function chooseFiles(folder: vscode.Uri): Promise<vscode.Uri[]> {
  const open = vscode.window.tabGroups.all
    .flatMap((group) => group.tabs)
    .map(({ input }) => (input instanceof vscode.TabInputText ? input.uri : undefined))
    .filter((uri) => uri !== undefined)
    .filter((uri) => isIn(folder, uri));
  const other = { label: "Another file…", uri: undefined };
  const choices = found(folder, open).then((files) => [...files, other]);
  const title = "Attach files";
  const picked = await vscode.window.showQuickPick(choices, { title, canPickMany: true, matchOnDescription: true });
  const uris = (picked ?? []).map(({ uri }) => uri).filter((uri) => uri !== undefined);
  const wantsOther = picked?.some(({ uri }) => uri === undefined) === true;
  const others = wantsOther ? await vscode.window.showOpenDialog({ title, canSelectMany: true, defaultUri: folder }) : undefined;
  return [...uris, ...(others ?? [])];
}

/** The files to choose from, each once. */
async function found(folder: vscode.Uri, open: vscode.Uri[]): Promise<{ label: string; description: string; uri: vscode.Uri }[]> {
  const pattern = new vscode.RelativePattern(folder, "**/*");
  const all = [...open, ...(await vscode.workspace.findFiles(pattern, NOT_ASKED_ABOUT, MOST_FILES))];
  const once = new Map(all.map((uri) => [uri.toString(), uri]));
  return [...once.values()].map((uri) => ({
    label: basename(uri),
    description: vscode.workspace.asRelativePath(uri),
    uri,
  }));
}

/** The selection of the editor that was last used; undefined where nothing is selected. */
function selection(): Attachment | undefined {
  const editor = vscode.window.activeTextEditor;
  if (editor === undefined || editor.selection.isEmpty) {
    return undefined;
  }
  const { uri, languageId } = editor.document;
  return passage({ uri, range: editor.selection, text: editor.document.getText(editor.selection), languageId });
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

function isIn(folder: vscode.Uri, uri: vscode.Uri): boolean {
  const [above, path] = [folder.path.replace(/\/?$/, "/"), uri.path];
  return uri.scheme === folder.scheme && uri.authority === folder.authority && path.startsWith(above);
}

function basename(uri: vscode.Uri): string {
  return uri.path.slice(uri.path.lastIndexOf("/") + 1);
}
