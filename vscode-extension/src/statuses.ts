// What the server has told of each folder, kept for whoever shows it.
import * as vscode from "vscode";
import type { Status } from "./contract.gen.ts";
import type { Server, Statuses } from "./core.ts";
import { shownFolder } from "./folders.ts";

/** Fits `Statuses`. What a server told is forgotten with it. */
export class ToldStatuses implements Statuses, vscode.Disposable {
  readonly #told = new Map<string | undefined, Status>();
  readonly #changed = new vscode.EventEmitter<void>();
  readonly #hearing: vscode.Disposable[];

  readonly onDidChange = this.#changed.event;

  constructor(server: Server) {
    this.#hearing = [
      server.on("qwen/didChangeStatus", (status) => {
        this.#told.set(status.uri, status);
        this.#changed.fire();
      }),
      server.onDidChangeState((state) => {
        if (state !== "ready") {
          this.#told.clear();
        }
        this.#changed.fire();
      }),
    ];
  }

  of(uri: vscode.Uri | undefined): Status | undefined {
    const folder = uri === undefined ? shownFolder() : vscode.workspace.getWorkspaceFolder(uri);
    return this.#told.get(folder?.uri.toString()) ?? this.#told.get(undefined);
  }

  all(): Status[] {
    return [...this.#told.values()];
  }

  dispose(): void {
    this.#changed.dispose();
    vscode.Disposable.from(...this.#hearing).dispose();
  }
}
