// The status bar: which method and model serve which folder; a click switches.
import * as vscode from "vscode";
import type { Status } from "./contract.gen.ts";
import type { Core } from "./core.ts";
import { shownFolder } from "./folders.ts";

const STATES = {
  starting: { icon: "$(sync~spin)", text: "starting", command: "qwenLs.showOutput" },
  down: { icon: "$(sync~spin)", text: "starting again", command: "qwenLs.showOutput" },
  failed: { icon: "$(error)", text: "no server", command: "qwenLs.restartServer" },
  stopped: { icon: "$(circle-slash)", text: "stopped", command: "qwenLs.restartServer" },
} as const;
const ICONS: Record<Status["kind"], string> = {
  Normal: "$(sparkle)",
  Inactive: "$(sparkle)",
  Warning: "$(warning)",
  Error: "$(error)",
};

/** Shows the status of the folder that is meant now. */
export class StatusBar implements vscode.Disposable {
  readonly #core: Core;
  readonly #item: vscode.StatusBarItem;
  readonly #watching: vscode.Disposable[];

  constructor(core: Core) {
    this.#core = core;
    this.#item = vscode.window.createStatusBarItem("qwenLs.status", vscode.StatusBarAlignment.Right, 100);
    this.#item.name = "Qwen";
    const show = (): void => {
      this.#show();
    };
    this.#watching = [
      core.statuses.onDidChange(show),
      core.server.onDidChangeState(show),
      vscode.window.onDidChangeActiveTextEditor(show),
      vscode.workspace.onDidChangeWorkspaceFolders(show),
    ];
    show();
    this.#item.show();
  }

  dispose(): void {
    vscode.Disposable.from(this.#item, ...this.#watching).dispose();
  }

  #show(): void {
    const { state } = this.#core.server;
    const status = this.#core.statuses.of(undefined);
    if (state !== "ready" || status === undefined) {
      const { icon, text, command } = STATES[state === "ready" ? "starting" : state];
      this.#put(`${icon} Qwen: ${text}`, command, text);
      return;
    }
    const folder = folderName();
    const icon = status.busy ? "$(sync~spin)" : ICONS[status.kind];
    this.#put(`${icon} ${summary(status, folder)}`, "qwenLs.switchAuthentication", tooltip(status, folder));
    const colour = status.kind === "Error" ? "statusBarItem.errorBackground" : undefined;
    this.#item.backgroundColor = colour === undefined ? undefined : new vscode.ThemeColor(colour);
  }

  #put(text: string, command: string, tooltip: string | vscode.MarkdownString): void {
    this.#item.text = text;
    this.#item.command = command;
    this.#item.tooltip = tooltip;
    this.#item.backgroundColor = undefined;
    this.#item.accessibilityInformation = { label: `Qwen: ${text.replace(/\$\([^)]*\) ?/g, "")}` };
  }
}

const METHODS: Record<string, string> = { "qwen-oauth": "Qwen account", "api-key": "API key" };

/** The folder's name, where there are several. */
function folderName(): string | undefined {
  const several = (vscode.workspace.workspaceFolders?.length ?? 0) > 1;
  return several ? shownFolder()?.name : undefined;
}

/** Method, model and folder, as far as there are any. */
function summary(status: Status, folder: string | undefined): string {
  const method = status.method === undefined ? undefined : (METHODS[status.method] ?? status.method);
  const who = status.signedIn === true ? method : "signed out";
  return ["Qwen", who, status.signedIn === true ? status.model : undefined, folder].filter(Boolean).join(" · ");
}

function tooltip(status: Status, folder: string | undefined): vscode.MarkdownString {
  const text = new vscode.MarkdownString();
  const rows = [
    ["Folder", folder],
    ["Method", status.method],
    ["Provider", status.provider],
    ["Base URL", status.baseUrl],
    ["Model", status.model],
    ["Credential", status.fingerprint],
  ] as const;
  text.appendText(`${status.message}\n`);
  for (const [name, value] of rows) {
    if (value !== undefined) {
      text.appendText(`${name}: ${value}\n`);
    }
  }
  text.appendText("Click to switch.");
  return text;
}
