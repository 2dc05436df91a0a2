// Which program is the server: the user's setting, one on PATH, or our own environment, in this order.
import { homedir } from "node:os";
import path from "node:path";
import * as vscode from "vscode";
import { Failure } from "../failure.ts";
import { findEnvironment, forgetEnvironment, makeEnvironment, type Making } from "./environment.ts";
import { findOnPath, isExecutable } from "./programs.ts";

const PROGRAM = "qwen-ls";

/** A program that is the server, and where it comes from. */
export interface Launch {
  readonly command: string;
  readonly from: "setting" | "path" | "own" | "own, made anew";
}

/** What is not tried again: the program on PATH; our own environment as it was found. */
export type Skipped = "path" | "own";

/** Finds the program, `skipped` ones apart. Throws a Failure that says what is missing. */
export async function findServer(
  context: vscode.ExtensionContext,
  log: vscode.LogOutputChannel,
  skipped?: Skipped,
): Promise<Launch> {
  const set = textSetting("server.path");
  if (set !== undefined) {
    if (await isExecutable(set)) {
      return { command: set, from: "setting" };
    }
    const remedy = "Correct the setting, or clear it";
    const what = `The setting qwenLs.server.path names ${set}, which is no program`;
    throw new Failure(`${what}. ${remedy}.`, { kind: "no-server", remedy });
  }
  const refused = refusedFolders();
  const onPath = skipped !== undefined ? undefined : await findOnPath(PROGRAM, process.env, refused);
  if (onPath !== undefined) {
    return { command: onPath, from: "path" };
  }
  const wheel = await packedWheel(context);
  const storage = context.globalStorageUri.fsPath;
  if (skipped === "own") {
    await forgetEnvironment(storage, wheel);
  }
  const found = await findEnvironment(storage, wheel);
  if (found !== undefined) {
    return { command: found, from: "own" };
  }
  return { command: await makeServer({ storage, wheel, refused }, log), from: "own, made anew" };
}

/** Makes our own environment, which the user sees and can cancel. */
async function makeServer(
  given: Pick<Making, "storage" | "wheel" | "refused">,
  log: vscode.LogOutputChannel,
): Promise<string> {
  const options = { location: vscode.ProgressLocation.Notification, title: "Qwen: setting up the server", cancellable: true };
  return vscode.window.withProgress(options, async (progress, token) => {
    const abort = new AbortController();
    token.onCancellationRequested(() => {
      abort.abort();
    });
    const making: Making = {
      ...given,
      python: textSetting("server.python"),
      environment: process.env,
      report: (message) => {
        progress.report({ message });
      },
      log: (text) => {
        log.info(text.trim());
      },
      signal: abort.signal,
    };
    try {
      return await makeEnvironment(making);
    } catch (error) {
      if (abort.signal.aborted) {
        const remedy = "Run “Qwen: Restart Server” to go on";
        throw new Failure(`Setting up the Qwen server was cancelled. ${remedy}.`, { kind: "no-server", remedy });
      }
      throw error;
    }
  });
}

/** The wheel in this extension. */
async function packedWheel(context: vscode.ExtensionContext): Promise<string> {
  const folder = vscode.Uri.joinPath(context.extensionUri, "server");
  const entries = await vscode.workspace.fs.readDirectory(folder).then(undefined, () => []);
  const wheel = entries.map(([name]) => name).find((name) => name.endsWith(".whl"));
  if (wheel === undefined) {
    const remedy = "Install qwen-ls and set qwenLs.server.path";
    throw new Failure(`This build of the extension holds no server. ${remedy}.`, { kind: "no-server", remedy });
  }
  return path.join(folder.fsPath, wheel);
}

/** While a workspace is not trusted, none of its own programs is run. */
function refusedFolders(): string[] {
  return vscode.workspace.isTrusted ? [] : (vscode.workspace.workspaceFolders ?? []).map((folder) => folder.uri.fsPath);
}

/** A setting of machine scope that is a path. */
function textSetting(name: string): string | undefined {
  const value = vscode.workspace.getConfiguration("qwenLs").get<string>(name)?.trim();
  if (value === undefined || value === "") {
    return undefined;
  }
  return value.startsWith("~/") ? path.join(homedir(), value.slice(2)) : value;
}
